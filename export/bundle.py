"""Export of weights as a bundle: graphs, checks and manifest, written atomically."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import onnx
import torch

from tremorscope.export.check import GraphComparison, compare, compare_band
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.band_graph import BandStep, band_graph
from tremorscope.export.graphs.half_graph import half_graph
from tremorscope.export.graphs.step_graph import pairwise_graph
from tremorscope.export.graphs.tidy import stamp, tidy
from tremorscope.export.tensorrt.lint import check_readable
from tremorscope.model.networks.families import CONFIGS, Network, build_network, describe
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.studied import StudiedNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.runtime.engines.interface.manifest import (
    MANIFEST_NAME,
    AmplificationRange,
    BundleGraph,
    FrameSize,
    GraphName,
    Manifest,
    Precision,
    RepresentationLayout,
    write_manifest,
)
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import whole_directory

FloatPrecision = Literal["fp32", "fp16"]

_ODD_SIZE_PX = (161, 119)
_EVEN_SIZE_PX = (192, 128)
_UNTRAINED_AMPLIFICATION = AmplificationRange(minimum=1.0, maximum=100.0)


@dataclass(frozen=True)
class NetworkSource:
    """A network to export, and the identity of its weights."""

    name: str
    network: Network
    trained: bool
    weights_sha256: str
    amplification: AmplificationRange
    magnified_motion_max_px: float | None = None


def trained_source(name_or_path: str) -> NetworkSource:
    """A network with trained weights: shipped ones by name, or a file.

    Raises:
        WeightsFault: there are no such weights, or they are damaged.
        ExportFault: they are of a network for studies alone.
    """
    weights = load_weights(find_weights(name_or_path))
    if isinstance(weights.network, StudiedNetwork):
        raise ExportFault(
            f"{name_or_path}: its encoder was made for a study, not for a device",
            remedy=f"export weights of another family: {' or '.join(CONFIGS)}",
        )
    allowed = AmplificationRange(
        minimum=weights.amplification_min,
        maximum=weights.amplification_max,
        # What a displacement adds, its opposite takes away; without one nothing was taught that.
        attenuates=isinstance(weights.network, RealtimeNetwork),
    )
    drawn = weights.training.get("recipe", {}).get("pairs", {})
    return NetworkSource(
        weights.name,
        weights.network,
        True,
        weights.sha256,
        allowed,
        drawn.get("magnified_motion_max_px"),
    )


def untrained_source(family: str) -> NetworkSource:
    """A network of a family with random weights, for measuring cost.

    Raises:
        ExportFault: the family is unknown.
    """
    if family not in CONFIGS:
        raise ExportFault(f"--model {family}: no such family", remedy=f"choose {' or '.join(CONFIGS)}")
    torch.manual_seed(0)
    network = build_network(CONFIGS[family]())
    # Random weights at full strength saturate all 8-bit values, which would hide differences from the comparison.
    for parameter in network.parameters():
        parameter.data *= 0.5
    return NetworkSource(family, network.eval(), False, "0" * 64, _UNTRAINED_AMPLIFICATION)


def write_bundle(
    source: NetworkSource,
    size: FrameSize | None,
    directory: Path,
    overwrite: bool = False,
    precision: FloatPrecision = "fp32",
) -> list[GraphComparison]:
    """Export a network as a bundle and check it against PyTorch; a failure leaves nothing behind.

    Args:
        source: the network.
        size: the frame size; None for a graph of any size.
        directory: the bundle to write.
        overwrite: replace a bundle that stands there.
        precision: of the graphs; INT8 is made of an FP32 bundle, see `calibration.quantise.quantise`.

    Raises:
        ExportFault: the bundle stands there already, cannot be written, or differs from the network; the network
            is not one for FP16; or a TensorRT that engines are built for cannot read a graph of it.
    """
    if precision == "fp16" and not isinstance(source.network, RealtimeNetwork):  # before the graph is traced
        raise ExportFault(
            f"{source.name} is not of the realtime network",
            remedy="FP16 and INT8 are for that; keep this one in FP32",
        )
    with new_bundle(directory, overwrite) as partial:
        return _fill(source, size, partial, precision)


@contextmanager
def new_bundle(directory: Path, overwrite: bool) -> Iterator[Path]:
    """Context of an empty directory that becomes the bundle at the end, and is removed after any exception.

    Raises:
        ExportFault: something else stands there, or it cannot be written.
    """
    check_place(directory, overwrite)
    # Everything in a replaced bundle is removed, engines built from it included.
    names = os.listdir(directory) if directory.exists() else []
    try:
        with whole_directory(directory, overwrite=overwrite, names=names) as partial:
            yield partial
    except OutputFault as fault:
        raise ExportFault(fault.what, remedy=fault.remedy) from None


def check_place(directory: Path, overwrite: bool) -> None:
    """Refuse a path that exists, unless it is a bundle and may be replaced.

    Raises:
        ExportFault: it exists.
    """
    if directory.exists() and not (overwrite and (directory / MANIFEST_NAME).is_file()):
        what = "exists" if not overwrite else "exists and is no bundle"
        remedy = "name another directory" + ("" if overwrite else ", or add --overwrite")
        raise ExportFault(f"{directory}: {what}", remedy=remedy)


def write_graph(
    directory: Path, name: GraphName, graph: onnx.ModelProto, facts: Mapping[str, str], suffix: str = ""
) -> BundleGraph:
    """Write a graph with its metadata, and return its entry for the manifest.

    Args:
        directory: of the bundle.
        name: of the graph.
        graph: content of the file.
        facts: metadata, see `facts_of`.
        suffix: of the file's name, e.g. ``.cpu``.
    """
    content = stamp(graph, {"tremorscope.graph": name, **facts}).SerializeToString(deterministic=True)
    path = directory / f"{name}{suffix}.onnx"
    path.write_bytes(content)
    opset = next(entry.version for entry in graph.opset_import if entry.domain == "")
    return BundleGraph(file=path.name, sha256=hashlib.sha256(content).hexdigest(), opset=opset)


def facts_of(
    network: str, weights_sha256: str, amplification: AmplificationRange, precision: Precision
) -> dict[str, str]:
    """Metadata by which a graph's file identifies itself without its bundle."""
    return {
        "tremorscope.network": network,
        "tremorscope.precision": precision,
        "tremorscope.weights_sha256": weights_sha256,
        "tremorscope.amplification": f"{amplification.minimum:g} to {amplification.maximum:g}",
        "tremorscope.pixel_format": "rgb",
        "tremorscope.release": importlib.metadata.version("tremorscope"),
    }


def versions() -> dict[str, str]:
    """Versions of the packages that make a bundle."""
    return {
        name: importlib.metadata.version(name) for name in ("tremorscope", "torch", "onnx", "onnxruntime")
    }


def _fill(
    source: NetworkSource, size: FrameSize | None, directory: Path, precision: FloatPrecision
) -> list[GraphComparison]:
    amplifications = (1.0, min(20.0, source.amplification.maximum), source.amplification.maximum)
    facts = facts_of(source.name, source.weights_sha256, source.amplification, precision)
    graphs: dict[GraphName, BundleGraph] = {}
    comparisons: list[GraphComparison] = []
    for name, exporter in _exporters(source.network, precision).items():
        graph = exporter.graph(size)
        check_readable(graph, f"{source.name}, the {name} graph")
        graphs[name] = write_graph(directory, name, graph, facts)
        path = directory / graphs[name].file
        if size is None:
            comparisons += exporter.compare(path, *_EVEN_SIZE_PX, amplifications)
            comparisons += exporter.compare(path, *_ODD_SIZE_PX, amplifications)
        else:
            comparisons += exporter.compare(path, size.width_px, size.height_px, amplifications)
            comparisons += _compare_at_odd_size(exporter, directory, amplifications)
    manifest = Manifest(
        network=source.name,
        architecture=describe(source.network.config),
        trained=source.trained,
        weights_sha256=source.weights_sha256,
        precision=precision,
        frame_size=size,
        amplification=source.amplification,
        magnified_motion_max_px=source.magnified_motion_max_px,
        graphs=graphs,
        representation=_representation(source.network),
        checks={"onnxruntime_against_pytorch": [comparison.as_json() for comparison in comparisons]},
        versions=versions(),
    )
    write_manifest(directory, manifest)
    return comparisons


class _Exporter(NamedTuple):
    """Export and comparison functions of one step graph."""

    graph: Callable[[FrameSize | None], onnx.ModelProto]
    compare: Callable[[Path, int, int, tuple[float, ...]], list[GraphComparison]]


def _exporters(network: Network, precision: FloatPrecision) -> dict[GraphName, _Exporter]:
    found: dict[GraphName, _Exporter] = {
        "pairwise": _Exporter(
            lambda size: _restated(pairwise_graph(network, size), precision),
            lambda path, width_px, height_px, amplifications: compare(
                path, network, width_px, height_px, amplifications, precision
            ),
        )
    }
    if isinstance(network, RealtimeNetwork):  # band mode needs a linear encoder
        found["band"] = _Exporter(
            lambda size: _restated(band_graph(network, size), precision),
            lambda path, width_px, height_px, amplifications: compare_band(
                path, network, width_px, height_px, amplifications, precision
            ),
        )
    return found


def _restated(graph: onnx.ModelProto, precision: FloatPrecision) -> onnx.ModelProto:
    return half_graph(graph) if precision == "fp16" else tidy(graph)


def _representation(network: Network) -> RepresentationLayout | None:
    if not isinstance(network, RealtimeNetwork):
        return None
    step = BandStep(network)
    return RepresentationLayout(channels=step.state_channels, cell_px=step.cell_px)


def _compare_at_odd_size(
    exporter: _Exporter, directory: Path, amplifications: tuple[float, ...]
) -> list[GraphComparison]:
    """Compare a second, temporary graph of odd size: a graph of one size does not cover others."""
    width_px, height_px = _ODD_SIZE_PX
    path = directory / "odd.onnx"
    path.write_bytes(exporter.graph(FrameSize(width_px=width_px, height_px=height_px)).SerializeToString())
    comparisons = exporter.compare(path, width_px, height_px, amplifications)
    path.unlink()
    return comparisons
