"""Quantised graphs of an INT8 bundle from known scales, with their checks and manifest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.calibration.scales.correction import corrected, outputs_of, shifted_bias
from tremorscope.calibration.scales.tiles import Sample
from tremorscope.export.bundle import facts_of, versions, write_graph
from tremorscope.export.check import difference
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.quantisation_rules import check_rules
from tremorscope.export.graphs.quantised_graph import (
    Unquantised,
    quantised_graph,
    quantised_graph_for_cpu,
    quantised_layers,
)
from tremorscope.export.studies.runners import graph_magnifier
from tremorscope.export.tensorrt.lint import check_readable, parsers_since
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import (
    BundleGraph,
    Calibration,
    GraphName,
    Manifest,
    Quantisation,
    ScaleMethod,
    write_manifest,
)

_CHECKED_ON_SAMPLES = 3
_ALWAYS_ALLOWED_GREY_LEVELS = 2.0
_FITS_WITHIN = 0.25
"""Largest allowed error as a share of the distance between frame and magnified frame: 0.04 where scales fit. A decoder
that is clipped to nothing still shows what least squares measure: 0.31 with the real-time network."""


@dataclass(frozen=True)
class QuantiseReport:
    """Result of a quantisation."""

    manifest: Manifest
    scales: dict[str, float]
    float_bytes: int
    int8_bytes: int
    """Size of the graphs for TensorRT."""
    on_cpu: tuple[str, ...]
    """Convolutions that are in INT8 on a CPU, too."""

    def lines(self) -> list[str]:
        """Summary for the terminal."""
        quantisation = self.manifest.quantisation
        assert quantisation is not None
        calibration = quantisation.calibration
        if calibration.source == "drawn":
            on = f"{calibration.pairs} drawn pairs: capture a set for scales of your own scene"
        else:
            on = f"{calibration.pairs} pairs of the set {calibration.sha256[:12]}"
        found = self.manifest.checks["int8_against_fp32"]
        return [
            f"measured on     {on}",
            f"                {calibration.samples} tiles at amplifications of "
            f"{calibration.amplification.minimum:g} to {calibration.amplification.maximum:g}",
            f"in INT8         {len(quantisation.layers)} of "
            f"{len(quantisation.layers) + len(quantisation.kept)} convolutions of the decoder, "
            f"the rest in {quantisation.unquantised.upper()}; scales by {quantisation.method}",
            f"                on a CPU {len(self.on_cpu)}: the rest in FP32",
            f"graphs          {self._size(quantisation)}",
            f"against FP32    at most {max(each['rms_grey_levels'] for each in found):.2g} grey levels RMS "
            f"on {len(found)} tiles; tremorscope compare judges what that costs",
        ]

    def _size(self, quantisation: Quantisation) -> str:
        size = f"{self.int8_bytes / 1e6:.2f} MB"
        if quantisation.unquantised == "fp32":
            return f"{size}, weights on the grid of INT8 but stored in FP32, as TensorRT 8.6 wants; engines store INT8"
        times = self.float_bytes / self.int8_bytes
        return f"{size}, {times:.1f} times smaller than the {self.float_bytes / 1e6:.2f} MB of FP32"


@dataclass(frozen=True)
class BundleQuantiser:
    """Quantises each graph of an FP32 bundle, for TensorRT and for the CPU, and writes the INT8 bundle."""

    bundle: Bundle
    """The FP32 bundle."""
    graphs: Mapping[GraphName, onnx.ModelProto]
    """Its graphs, by name."""
    layers: Sequence[str]
    """Layers to quantise."""
    kept: tuple[str, ...]
    """Layers kept in floating point."""
    scales: Mapping[str, float]
    unquantised: Unquantised
    fused_sums: bool
    samples: Sequence[Sample]
    """Tiles for measuring the constant error and for checking the result."""

    def for_tensorrt(self) -> dict[GraphName, onnx.ModelProto]:
        """Graphs for TensorRT by name, checked against its rules."""
        made = self._corrected(
            lambda graph: quantised_graph(graph, self.scales, self.layers, self.unquantised, self.fused_sums)
        )
        # Scales in FP16 want an opset that TensorRT 8.6 does not read; see docs/precision.md.
        parsers = parsers_since("10.3" if self.unquantised == "fp16" else "8.6")
        for name, graph in made.items():
            check_rules(graph, self.fused_sums)
            check_readable(graph, f"the {name} graph in INT8", parsers)
        return made

    def for_cpu(self) -> dict[GraphName, onnx.ModelProto]:
        """Graphs for ONNX Runtime on the CPU, by name."""
        return self._corrected(lambda graph: quantised_graph_for_cpu(graph, self.scales, self.layers))

    def _corrected(
        self, make: Callable[[onnx.ModelProto], onnx.ModelProto]
    ) -> dict[GraphName, onnx.ModelProto]:
        last = decoder_layers(self.graphs["pairwise"])[-1]
        expected = outputs_of(self.graphs["pairwise"], last, self.samples)
        pairwise, shift = corrected(make(self.graphs["pairwise"]), last, expected, self.samples)
        made: dict[GraphName, onnx.ModelProto] = {"pairwise": pairwise}
        for name, graph in self.graphs.items():
            if name != "pairwise":  # the same decoder, with the same error
                made[name] = shifted_bias(make(graph), last, shift)
        return made

    def write(self, directory: Path, method: ScaleMethod, calibration: Calibration) -> QuantiseReport:
        """Write graphs and manifest into a directory and check them against FP32.

        Raises:
            ExportFault: a graph breaks a rule, or is too far from FP32.
        """
        manifest = self.bundle.manifest
        facts = facts_of(manifest.network, manifest.weights_sha256, manifest.amplification, "int8")
        facts |= {"tremorscope.calibration_sha256": calibration.sha256}
        graphs = {
            name: write_graph(directory, name, graph, facts) for name, graph in self.for_tensorrt().items()
        }
        for_cpu = self.for_cpu()
        cpu_graphs = {
            name: write_graph(directory, name, graph, facts, suffix=".cpu") for name, graph in for_cpu.items()
        }
        quantisation = Quantisation(
            method=method,
            unquantised=self.unquantised,
            fused_sums=self.fused_sums,
            layers=tuple(self.layers),
            kept=self.kept,
            float_graphs={name: graph.sha256 for name, graph in manifest.graphs.items()},
            calibration=calibration,
        )
        checked = [
            found
            for made in (graphs, cpu_graphs)
            for found in self._check(directory, made["pairwise"], method)
        ]
        changes = {
            "precision": "int8",
            "graphs": graphs,
            "cpu_graphs": cpu_graphs,
            "quantisation": quantisation,
            "checks": manifest.checks | {"int8_against_fp32": checked},
            "accuracy": {},
            "deployable": None,
            "versions": versions(),
        }
        return QuantiseReport(
            write_manifest(directory, manifest.model_copy(update=changes)),
            dict(self.scales),
            _nbytes(self.bundle.directory, manifest.graphs),
            _nbytes(directory, graphs),
            quantised_layers(for_cpu["pairwise"]),
        )

    def _check(self, directory: Path, graph: BundleGraph, method: ScaleMethod) -> list[dict[str, Any]]:
        """Compare a pairwise graph with FP32 on some of the samples.

        Refuses only a graph that has ceased to magnify: hardly nearer to FP32's picture than the unmagnified frame is.
        The cost of rounding depends on the scene, and is judged by `tremorscope compare`.

        Raises:
            ExportFault: the graph is too far off.
        """
        found, untouched = [], []
        int8 = graph_magnifier(directory / graph.file)
        fp32 = graph_magnifier(self.bundle.graph_path("pairwise"))
        for sample in self.samples[:_CHECKED_ON_SAMPLES]:
            frame, reference = _fitted(sample, self.bundle.manifest)
            quantised, expected = (
                magnify(frame, reference, sample.amplification) for magnify in (int8, fp32)
            )
            found.append(difference("pairwise", quantised, expected, sample.amplification))
            untouched.append(difference("pairwise", frame, expected, sample.amplification))
        error, effect = (_rms([each.rms_grey_levels for each in those]) for those in (found, untouched))
        if error > max(_ALWAYS_ALLOWED_GREY_LEVELS, _FITS_WITHIN * effect):
            raise ExportFault(
                f"the INT8 graph is {error:.2g} grey levels (RMS) from FP32's pictures, and the frames themselves "
                f"are {effect:.2g}: scales by {method} do not fit this network",
                remedy="choose another --method, or leave layers in floating point with --keep-fp16",
            )
        return [{"file": graph.file} | each.as_json() for each in found]


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _nbytes(directory: Path, graphs: Mapping[GraphName, BundleGraph]) -> int:
    return sum((directory / graph.file).stat().st_size for graph in graphs.values())


def _fitted(sample: Sample, manifest: Manifest) -> tuple[Picture, Picture]:
    """A tile padded by its mirror image to the frame size of the bundle, if it has one."""
    height_px, width_px = sample.frame.shape[:2]
    if manifest.frame_size is not None:
        height_px, width_px = manifest.frame_size.height_px, manifest.frame_size.width_px
    pictures = []
    for picture in (sample.frame, sample.reference):
        beyond = [
            max(0, wanted - have) for wanted, have in zip((height_px, width_px), picture.shape, strict=False)
        ]
        wide = np.pad(picture, ((0, beyond[0]), (0, beyond[1]), (0, 0)), mode="symmetric")
        pictures.append(np.ascontiguousarray(wide[:height_px, :width_px]))
    return pictures[0], pictures[1]
