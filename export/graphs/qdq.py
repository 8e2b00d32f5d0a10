"""Q/DQ pairs: INT8 with symmetric ranges, written into a graph as QuantizeLinear and DequantizeLinear.

Zero points are 0 and scales initialisers: weights with one scale for each output channel, stored as INT8 or on its
grid; activations with one for the tensor. Biases stay in floating point. Rounding is to the nearest, halves to even.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.layers import constant

LEVELS = 127
"""Steps from zero to the end of the range; -128 is not used, so that the range is symmetric."""
_CHANNELS_TOGETHER = 8
_SMALLEST_SCALE = 2.0**-14
"""FP16's smallest normal number: scales below it could not be stated in FP16."""


class EightBitCoding(NamedTuple):
    """Representation of a tensor in 8 bits: type, zero point, range."""

    kind: ir.DataType
    zero: int
    """Zero point: the level of the value 0."""
    steps: int
    """Levels from the zero point to the end of the range."""


SYMMETRIC = EightBitCoding(ir.DataType.INT8, 0, LEVELS)
"""The only coding that TensorRT takes."""
OFFSET = EightBitCoding(ir.DataType.UINT8, 128, LEVELS)
"""The same steps as unsigned levels, as ONNX Runtime's CPU kernels require."""
POSITIVE = EightBitCoding(ir.DataType.UINT8, 0, 255)
"""For tensors that are never negative: the same range in half steps."""


def input_of(layer: str) -> str:
    """Key of the scale of a convolution's input, the same in every step graph."""
    return f"{layer}.input"


def output_of(layer: str, channel: int | None = None) -> str:
    """Name under which the scale of what a convolution gives is known, of all channels or of one."""
    return f"{layer}.output" if channel is None else f"{layer}.output.{channel}"


def steps_of(output: str) -> str:
    """Name of the steps, one a channel, in which a convolution gives its output (`Quantiser.quantise_convolution`)."""
    return f"{output}.steps"


def in_units_of(output: str) -> str:
    """Name of such an output in its own units again."""
    return f"{output}.dq"


def chosen_layers(convolutions: Mapping[str, ir.Node], layers: Collection[str] | None) -> list[str]:
    """Layers to quantise, in order of computation; all of them where None are named.

    Raises:
        ExportFault: one is unknown.
    """
    unknown = sorted(set(layers or ()) - convolutions.keys())
    if unknown:
        raise ExportFault(
            f"{unknown[0]}: no such layer in the decoder", remedy=f"choose from {', '.join(convolutions)}"
        )
    return [name for name in convolutions if layers is None or name in layers]


def quantise_per_channel(
    weights: NDArray[np.floating], kind: type[np.floating]
) -> tuple[NDArray[np.int8], NDArray[np.floating]]:
    """Weights of O x ... as INT8, and the O scales, of the stated type, that they were divided by."""
    rows = np.asarray(weights, np.float64).reshape(len(weights), -1)
    steps = np.maximum(np.abs(rows).max(axis=1) / LEVELS, _SMALLEST_SCALE).astype(kind)
    levels = np.rint(rows / steps.astype(np.float64)[:, None])
    return np.clip(levels, -LEVELS, LEVELS).astype(np.int8).reshape(weights.shape), steps


@dataclass
class Quantiser:
    """Inserts Q/DQ pairs into a graph, one for each tensor and coding, shared by all readers."""

    graph: ir.Graph
    scales: Mapping[str, float]
    """Size of one step by key; see `input_of` and `output_of`."""
    stores_weights: bool = True
    """Store weights as INT8. TensorRT 8.6 takes only floating-point weights before a Q/DQ pair: False stores those,
    rounded to the INT8 grid, so that the numbers are the same."""
    _pairs: dict[tuple[ir.Value, EightBitCoding], ir.Value] = field(default_factory=dict)

    def quantise_weights(self, convolution: ir.Node) -> None:
        """Write a convolution's weights in INT8."""
        weights = convolution.inputs[1]
        assert weights is not None
        assert weights.const_value is not None
        assert weights.name is not None
        assert weights.dtype is not None
        levels, steps = quantise_per_channel(weights.const_value.numpy(), weights.dtype.numpy().type)
        operands = [
            constant(self.graph, f"{weights.name}.scale", steps),
            constant(self.graph, f"{weights.name}.zero", np.zeros(len(steps), np.int8)),
        ]
        if self.stores_weights:
            quantised = constant(self.graph, f"{weights.name}.q", levels)
        else:
            rows = levels.reshape(len(levels), -1).astype(steps.dtype) * steps[:, None]
            grid = constant(self.graph, f"{weights.name}.grid", rows.reshape(levels.shape))
            quantised = self._add(
                "QuantizeLinear", [grid, *operands], f"{weights.name}.q", SYMMETRIC.kind, axis=0
            )
        dequantised = self._add(
            "DequantizeLinear", [quantised, *operands], f"{weights.name}.dq", weights.dtype, axis=0
        )
        convolution.replace_input_with(1, dequantised)

    def quantise_input(
        self, node: ir.Node, index: int, scale: str, coding: EightBitCoding = SYMMETRIC
    ) -> None:
        """Put a Q/DQ pair before one input of a node.

        Args:
            node: the reader.
            index: of the input.
            scale: key among the scales.
            coding: of the tensor in 8 bits.

        Raises:
            ExportFault: there is no such scale, or it is no positive number.
        """
        value = node.inputs[index]
        assert value is not None
        if (value, coding) not in self._pairs:
            self._pairs[value, coding] = self._pair(value, scale, coding)
        node.replace_input_with(index, self._pairs[value, coding])

    def reads_a_pair(self, node: ir.Node) -> bool:
        """True where the first input of a node comes from a Q/DQ pair already: a second one would round it again."""
        return node.inputs[0] in self._pairs.values()

    def quantise_readers(self, value: ir.Value, scale: str, coding: EightBitCoding = SYMMETRIC) -> None:
        """Let everybody read a tensor through a Q/DQ pair.

        Raises:
            ExportFault: as `quantise_input`.
        """
        for use in list(value.uses()):
            if use.node.op_type != "QuantizeLinear":
                self.quantise_input(use.node, use.idx, scale, coding)

    def quantise_convolution(self, convolution: ir.Node, steps: NDArray[np.floating]) -> None:
        """Write a convolution's weights in INT8, and let everybody read its output, coded by `OFFSET`, in 8 bits.

        Each output channel has steps of its own. They are divided out of weights and bias, so that what is quantised
        has one scale for all, 1, as kernels want it; only what dequantises knows them.
        """
        # Kernels take groups of channels: 54 of them take twice as long as 56.
        channels, more = len(steps), -len(steps) % _CHANNELS_TOGETHER
        steps = np.pad(steps, (0, more), constant_values=1.0)
        for index in (1, 2):
            value = convolution.inputs[index]
            assert value is not None
            assert value.const_value is not None
            numbers = value.const_value.numpy()
            numbers = np.pad(numbers, [(0, more)] + [(0, 0)] * (numbers.ndim - 1))
            divided = numbers / steps.reshape(-1, *[1] * (numbers.ndim - 1)).astype(numbers.dtype)
            convolution.replace_input_with(index, constant(self.graph, f"{value.name}.in_steps", divided))
        self.quantise_weights(convolution)
        output = convolution.outputs[0]
        assert output.dtype is not None
        assert output.name is not None
        uses = list(output.uses())
        levels = self._coded(output, "in_steps", np.asarray(1, output.dtype.numpy()), OFFSET)
        # Not as scales of the dequantisation: where channels come last, one a channel is six times as slow.
        scales = constant(
            self.graph, steps_of(output.name), steps.astype(output.dtype.numpy()).reshape(1, -1, 1, 1)
        )
        units = in_units_of(output.name)
        value = self._add("Mul", [levels, scales], f"{units}.all" if more else units, output.dtype)
        if more:
            output.shape = None
            value = self._first(value, channels, units)
        for use in uses:
            use.node.replace_input_with(use.idx, value)

    def _first(self, value: ir.Value, channels: int, name: str) -> ir.Value:
        """The first channels of a tensor, B x C x h x w."""
        bounds = (("first", 0), ("end", channels), ("axis", 1))
        operands = [constant(self.graph, f"{name}.{each}", np.array([number])) for each, number in bounds]
        assert value.dtype is not None
        return self._add("Slice", [value, *operands], name, value.dtype)

    def _pair(self, value: ir.Value, scale: str, coding: EightBitCoding) -> ir.Value:
        assert value.dtype is not None
        step = np.asarray(self.step(scale) * LEVELS / coding.steps, value.dtype.numpy())
        return self._coded(value, "i8" if coding.kind == ir.DataType.INT8 else "u8", step, coding)

    def _coded(
        self, value: ir.Value, suffix: str, step: NDArray[np.floating], coding: EightBitCoding
    ) -> ir.Value:
        assert value.dtype is not None
        name = f"{value.name}.{suffix}"
        operands = [
            constant(self.graph, f"{name}.scale", step),
            constant(self.graph, f"{name}.zero", np.asarray(coding.zero, coding.kind.numpy())),
        ]
        quantised = self._add("QuantizeLinear", [value, *operands], f"{name}.q", coding.kind)
        return self._add("DequantizeLinear", [quantised, *operands], f"{name}.dq", value.dtype)

    def step(self, scale: str) -> float:
        """Size of one INT8 step of a scale's key.

        Raises:
            ExportFault: there is no such scale, or it is no positive number.
        """
        step = self.scales.get(scale)
        if step is None or not (np.isfinite(step) and step > 0):
            raise ExportFault(
                f"{scale}: {'no scale' if step is None else f'a scale of {step}'}",
                remedy="calibrate the network that is quantised, with tremorscope calibrate quantise",
            )
        return max(step, _SMALLEST_SCALE)

    def steps(self, scales: Collection[str]) -> NDArray[np.float64]:
        """Sizes of one step by several names.

        Raises:
            ExportFault: as `step`.
        """
        return np.array([self.step(scale) for scale in scales])

    def _add(
        self, operator: str, operands: list[ir.Value], name: str, kind: ir.DataType, **attributes: int
    ) -> ir.Value:
        node = ir.node(operator, operands, attributes=attributes, name=name)
        node.outputs[0].name, node.outputs[0].dtype = name, kind
        self.graph.append(node)
        return node.outputs[0]
