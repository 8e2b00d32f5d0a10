"""Sensitivity of an INT8 bundle to the quantisation of each layer, and a proposal of layers to keep in FP.

Each convolution is quantised alone, all others in FP32, and two errors are measured: that of the picture of a moving
scene, and the apparent displacement in a still one. Errors of single layers add up well as mean squares, so their
shares locate the loss. The proposal is then *measured*, not extrapolated: the costliest layers are kept in floating
point, one more each time, until the rest is within the limits. Every graph is corrected as in calibration
(`calibration.scales.correction`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from tremorscope.calibration.judging.graphs import graph_magnifier
from tremorscope.calibration.judging.judging import Condition, centre, fitted
from tremorscope.calibration.judging.noise_floor import apparent_displacements_px
from tremorscope.calibration.pairs.calibration_set import Picture, drawn_pairs
from tremorscope.calibration.scales.correction import corrected, outputs_of
from tremorscope.calibration.scales.tiles import Sample, Sampling, samples_of
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.qdq import LEVELS, input_of
from tremorscope.export.graphs.quantised_graph import quantised_graph
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.evaluation.registration import ShiftedScene
from tremorscope.runtime.engines.interface.manifest import AmplificationRange, FrameSize

_VIEW_PX = 192
_MOST_KEPT = 6
_NOISE_GREY_LEVELS = 2.0
_CORRECTED_ON_PAIRS = 16


@dataclass(frozen=True)
class LayerCost:
    """Errors when one layer alone is quantised."""

    layer: str
    rms_grey_levels: float
    """RMS difference from FP32 in moving scenes, over all conditions."""
    false_motion: float
    """RMS difference from FP32 of the apparent displacement in still scenes, over FP32's noise floor."""
    share: float
    """Mean of the layer's shares in the sums of both squares over all layers."""


@dataclass(frozen=True)
class Kept:
    """Remaining loss with some layers kept in floating point."""

    layers: tuple[str, ...]
    """Layers kept, the costliest first."""
    rms_grey_levels: float
    reasons: tuple[str, ...]
    """Losses beyond the limits; empty if all are within."""


@dataclass(frozen=True)
class Sensitivity:
    """Errors by layer, and trials of keeping the costliest in floating point."""

    layers: tuple[LayerCost, ...]
    """Costliest first."""
    trials: tuple[Kept, ...]
    """Trials from the unchanged bundle on, with one more layer kept each time."""

    @property
    def proposal(self) -> Kept | None:
        """The trial with the fewest kept layers that is within the limits; None if none is."""
        return next((trial for trial in self.trials if not trial.reasons), None)


class Variants:
    """A pairwise graph with any choice of its layers in INT8, as magnifiers."""

    def __init__(
        self, fp32: onnx.ModelProto, scales: Mapping[str, float], scratch: Path, frame_size: FrameSize | None
    ) -> None:
        self._fp32, self._scales, self._scratch, self._frame_size = fp32, scales, scratch, frame_size
        layers = decoder_layers(fp32)
        self.layers = tuple(name for name in layers if input_of(name) in scales)
        """Layers that have a scale, in order of computation."""
        self._last, self._samples = layers[-1], _correction_samples()
        self._expected = outputs_of(fp32, self._last, self._samples)

    def magnifier(self, layers: Sequence[str]) -> Magnifier:
        """The graph with these layers in INT8 and all others in FP32."""
        graph = self._fp32
        if layers:
            graph = quantised_graph(self._fp32, self._scales, layers)
            graph, _ = corrected(graph, self._last, self._expected, self._samples)
        return self.as_it_is(graph)

    def as_it_is(self, graph: onnx.ModelProto) -> Magnifier:
        """A given graph, unchanged."""
        path = self._scratch / f"{len(list(self._scratch.iterdir()))}.onnx"
        path.write_bytes(graph.SerializeToString())
        return fitted(graph_magnifier(path), self._frame_size)


def measure_sensitivity(
    fp32: onnx.ModelProto,
    int8: onnx.ModelProto,
    photographs: Sequence[Picture],
    conditions: Sequence[Condition],
    losses: Callable[[Magnifier], Sequence[str]],
    progress: Callable[[int, int | None], None],
    frame_size: FrameSize | None = None,
) -> Sensitivity:
    """Quantise each layer alone, then keep more and more of the costliest.

    Args:
        fp32: a pairwise step graph for any frame size.
        int8: the same, quantised: its scales are taken.
        photographs: to judge on, u8[H, W, 3].
        conditions: displacements and amplifications.
        losses: full judgement of a magnifier: its losses beyond the limits.
        progress: called with graphs done and all graphs.
        frame_size: of the graphs; None for any.
    """
    inputs = _inputs(photographs, conditions)
    with tempfile.TemporaryDirectory() as scratch:
        variants = Variants(fp32, scales_of(int8), Path(scratch), frame_size)
        total = len(variants.layers) + _MOST_KEPT + 2
        fp32_magnifier = variants.magnifier(())
        truth, floor = _outputs(fp32_magnifier, inputs), _Stillness(photographs, conditions, fp32_magnifier)
        squares = {}
        for number, layer in enumerate(variants.layers):
            progress(number + 1, total)
            magnify = variants.magnifier((layer,))
            squares[layer] = _mean_square(_outputs(magnify, inputs), truth), floor.mean_square(magnify)
        costs = _costs(squares)
        ordered = [each.layer for each in costs]
        trials: list[Kept] = []
        for count in range(min(_MOST_KEPT, len(ordered)) + 1):
            progress(len(variants.layers) + count + 1, total)
            rest = [layer for layer in variants.layers if layer not in ordered[:count]]
            magnify = variants.magnifier(rest) if count else variants.as_it_is(int8)
            rms = _mean_square(_outputs(magnify, inputs), truth) ** 0.5
            trials.append(Kept(tuple(ordered[:count]), rms, tuple(losses(magnify))))
            if not trials[-1].reasons:
                break
    return Sensitivity(costs, tuple(trials))


def _costs(squares: Mapping[str, tuple[float, float]]) -> tuple[LayerCost, ...]:
    """Mean squares of both errors by layer, as costs, costliest first."""
    of_picture, of_motion = (max(sum(column), 1e-12) for column in zip(*squares.values(), strict=True))
    costs = [
        LayerCost(layer, picture**0.5, motion**0.5, (picture / of_picture + motion / of_motion) / 2)
        for layer, (picture, motion) in squares.items()
    ]
    return tuple(sorted(costs, key=lambda each: -each.share))


class _Stillness:
    """Apparent displacement in motionless noisy pairs, relative to FP32."""

    def __init__(
        self, photographs: Sequence[Picture], conditions: Sequence[Condition], fp32: Magnifier
    ) -> None:
        self._clean = [centre(photograph, _VIEW_PX) for photograph in photographs]
        self._conditions = conditions
        self._fp32 = [self._seen(fp32, condition) for condition in conditions]

    def mean_square(self, magnify: Magnifier) -> float:
        """Mean square difference from FP32's displacements over their mean square; mean over the conditions."""
        ratios = [
            float(((self._seen(magnify, condition) - seen) ** 2).mean() / max((seen**2).mean(), 1e-12))
            for condition, seen in zip(self._conditions, self._fp32, strict=True)
        ]
        return float(np.mean(ratios))

    def _seen(self, magnify: Magnifier, condition: Condition) -> NDArray[np.float64]:
        found = []
        for number, clean in enumerate(self._clean):
            rng = np.random.default_rng(number)
            frame, reference = (
                np.clip(np.rint(clean + rng.normal(0.0, _NOISE_GREY_LEVELS, clean.shape)), 0, 255).astype(
                    np.uint8
                )
                for _ in range(2)
            )
            found.append(apparent_displacements_px(magnify(frame, reference, condition.amplification), clean))
        return np.concatenate(found)


def _correction_samples() -> list[Sample]:
    amplification = AmplificationRange(minimum=1.0, maximum=200.0)
    size = FrameSize(width_px=_VIEW_PX, height_px=_VIEW_PX)
    return [
        sample
        for index, pair in enumerate(drawn_pairs(size, _CORRECTED_ON_PAIRS, seed=1))
        for sample in samples_of(pair, index, amplification, Sampling(tile_px=_VIEW_PX, tiles_a_pair=1))
    ]


def scales_of(int8: onnx.ModelProto) -> dict[str, float]:
    """Size of one INT8 step by `export.graphs.qdq.input_of`, of each layer whose input is quantised."""
    model = ir.from_proto(int8)
    steps: dict[ir.Value, float] = {}
    for node in model.graph:
        source = node.inputs[0] if node.inputs else None
        if node.op_type == "QuantizeLinear" and source is not None and source.const_value is None:
            steps[source] = _step(node)
    scales = {}
    for node in model.graph:
        if node.op_type != "Conv" or not node.name:  # named after its layer
            continue
        source = node.inputs[0]
        producer = source.producer() if source is not None else None
        if producer is not None and producer.op_type == "DequantizeLinear" and producer.inputs[0] is not None:
            quantise = producer.inputs[0].producer()
            source = quantise.inputs[0] if quantise is not None else None
        if source is not None and source in steps:
            scales[input_of(node.name)] = steps[source]
    return scales


def _step(quantise: ir.Node) -> float:
    """Size of one step of a symmetric INT8 coding of the same range."""
    scale, zero = (
        value.const_value.numpy() if value and value.const_value else None for value in quantise.inputs[1:3]
    )
    assert scale is not None
    positive = zero is not None and zero.dtype == np.uint8 and int(zero) == 0
    return float(scale) * (255 / LEVELS if positive else 1.0)


def _inputs(
    photographs: Sequence[Picture], conditions: Sequence[Condition]
) -> list[tuple[Picture, Picture, float]]:
    """Frame, reference and amplification: each photograph moved as each condition says."""
    inputs = []
    for number, photograph in enumerate(photographs):
        scene = ShiftedScene(centre(photograph, _VIEW_PX + 32).astype(np.float64))
        angle = 2.4 * number
        for condition in conditions:
            x_px, y_px = condition.displacement_px * np.cos(angle), condition.displacement_px * np.sin(angle)
            frame, reference = (
                centre(np.clip(np.rint(scene.shifted(x, y)), 0, 255).astype(np.uint8), _VIEW_PX)
                for x, y in ((x_px, y_px), (0.0, 0.0))
            )
            inputs.append((frame, reference, condition.amplification))
    return inputs


def _outputs(magnify: Magnifier, inputs: Sequence[tuple[Picture, Picture, float]]) -> list[Picture]:
    return [magnify(*each) for each in inputs]


def _mean_square(found: Sequence[Picture], truth: Sequence[Picture]) -> float:
    return float(
        np.mean([((a.astype(np.float32) - b) ** 2).mean() for a, b in zip(found, truth, strict=True)])
    )
