"""Contestants of a comparison: bundles of one network, the network itself, and graphs for show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.judging.graphs import graph_magnifier
from tremorscope.calibration.judging.judging import VIEW_PX, fitted
from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.calibration.quantise.difference_proof import subtracting_features
from tremorscope.export.studies.runners import network_magnifier
from tremorscope.model.errors import WeightsFault
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import Precision


@dataclass(frozen=True)
class Contestant:
    """A magnifier to judge, with its name in the report."""

    name: str
    magnify: Magnifier
    bundle: Bundle | None
    """None for the network itself, run by PyTorch, and for graphs that only serve the comparison."""
    nbytes: int
    precision: Precision
    is_for_show: bool = False
    """Shown beside the others, but never deployed."""


def open_contestants(directories: Sequence[Path]) -> list[Contestant]:
    """The bundles, FP32 first; without an FP32 bundle the shipped network in PyTorch takes its place.

    Raises:
        BundleFault: a directory is no bundle.
        CalibrationFault: bundles of several networks, none in FP32, or untrained weights.
    """
    bundles = [open_bundle(directory) for directory in directories]
    _check_comparable(bundles)
    bundles.sort(key=lambda bundle: ("fp32", "fp16", "int8").index(bundle.manifest.precision))
    contestants = [each for bundle in bundles for each in _arrangements(bundle, _name(bundle, bundles))]
    if bundles[0].manifest.precision != "fp32":
        contestants.insert(0, _network_of(bundles[0]))
    return contestants


def _arrangements(bundle: Bundle, name: str) -> list[Contestant]:
    """The graph for TensorRT and, if there is one, that for the CPU, whose rounding differs."""
    paths = [(name, bundle.graph_path("pairwise"))]
    if (for_cpu := bundle.manifest.cpu_graphs.get("pairwise")) is not None:
        paths.append((f"{name} on a CPU", bundle.directory / for_cpu.file))
    return [
        Contestant(
            title,
            fitted(graph_magnifier(path), bundle.manifest.frame_size),
            bundle,
            path.stat().st_size,
            bundle.manifest.precision,
        )
        for title, path in paths
    ]


def _name(bundle: Bundle, bundles: Sequence[Bundle]) -> str:
    precision = bundle.manifest.precision
    alone = sum(each.manifest.precision == precision for each in bundles) == 1
    return precision.upper() if alone else f"{precision.upper()} {bundle.directory.resolve().name}"


def _check_comparable(bundles: Sequence[Bundle]) -> None:
    weights = {bundle.manifest.weights_sha256 for bundle in bundles}
    if len(weights) > 1:
        raise CalibrationFault(
            "the bundles hold different weights: "
            + ", ".join(f"{b.directory} {b.manifest.weights_sha256[:8]}" for b in bundles),
            remedy="compare bundles that were exported from one training",
        )
    for bundle in bundles:
        if not bundle.manifest.trained:
            raise CalibrationFault(
                f"{bundle.directory}: its weights are untrained, so it has no quality to lose",
                remedy="export trained weights",
            )
        size = bundle.manifest.frame_size
        if size is not None and min(size.width_px, size.height_px) < VIEW_PX:
            raise CalibrationFault(
                f"{bundle.directory}: is for frames of {size.width_px}x{size.height_px} px, and pictures of "
                f"{VIEW_PX}x{VIEW_PX} px are judged on",
                remedy="compare bundles of the same weights for a larger size, or for any",
            )


def _network_of(bundle: Bundle) -> Contestant:
    """The shipped network that a bundle was made from, in PyTorch.

    Raises:
        CalibrationFault: its weights are not shipped.
    """
    manifest = bundle.manifest
    try:
        weights = load_weights(find_weights(manifest.network))
    except WeightsFault:
        weights = None
    if weights is None or weights.sha256 != manifest.weights_sha256:
        raise CalibrationFault(
            f"{bundle.directory}: no FP32 bundle to compare it with",
            remedy="name the FP32 bundle that it was made from as well",
        )
    nbytes = 4 * sum(parameter.numel() for parameter in weights.network.parameters())
    return Contestant("FP32 (PyTorch)", network_magnifier(weights.network), None, nbytes, "fp32")


def features_subtracted(
    contestants: Sequence[Contestant], photographs: Sequence[Picture], scratch: Path
) -> Contestant | None:
    """The first INT8 contestant with subtracted features instead of pixels; None without an INT8 bundle."""
    int8 = next((each for each in contestants if each.bundle and each.precision == "int8"), None)
    if int8 is None or int8.bundle is None:
        return None
    graph = subtracting_features(onnx.load(str(int8.bundle.graph_path("pairwise"))), photographs)
    path = scratch / "features-subtracted.onnx"
    path.write_bytes(graph.SerializeToString())
    magnify = fitted(graph_magnifier(path), int8.bundle.manifest.frame_size)
    return Contestant(f"{int8.name}, features subtracted", magnify, None, path.stat().st_size, "int8", True)
