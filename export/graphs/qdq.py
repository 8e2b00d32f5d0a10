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

LEVELS = 127
"""Steps from zero to the end of the range; -128 is not used, so that the range is symmetric."""
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


def output_of(layer: str) -> str:
    """Key of the scale of a convolution's output, the same in every step graph."""
    return f"{layer}.output"


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
            self._constant(f"{weights.name}.scale", steps),
            self._constant(f"{weights.name}.zero", np.zeros(len(steps), np.int8)),
        ]
        if self.stores_weights:
            quantised = self._constant(f"{weights.name}.q", levels)
        else:
            rows = levels.reshape(len(levels), -1).astype(steps.dtype) * steps[:, None]
            grid = self._constant(f"{weights.name}.grid", rows.reshape(levels.shape))
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

    def quantise_output(self, node: ir.Node, scale: str, coding: EightBitCoding = SYMMETRIC) -> None:
        """Put a Q/DQ pair between a node's output and all its readers.

        Raises:
            ExportFault: as `quantise_input`.
        """
        for use in list(node.outputs[0].uses()):
            if use.node.op_type != "QuantizeLinear":
                self.quantise_input(use.node, use.idx, scale, coding)

    def _pair(self, value: ir.Value, scale: str, coding: EightBitCoding) -> ir.Value:
        assert value.dtype is not None
        step = self.step(scale) * LEVELS / coding.steps
        name = f"{value.name}.{'i' if coding.kind == ir.DataType.INT8 else 'u'}8"
        operands = [
            self._constant(f"{name}.scale", np.asarray(step, value.dtype.numpy())),
            self._constant(f"{name}.zero", np.asarray(coding.zero, coding.kind.numpy())),
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

    def _constant(self, name: str, numbers: NDArray[np.generic]) -> ir.Value:
        known = self.graph.initializers.get(name)
        if known is not None:
            return known
        value = ir.Value(name=name, const_value=ir.tensor(numbers, name=name))
        value.dtype, value.shape = ir.DataType.from_numpy(numbers.dtype), ir.Shape(numbers.shape)
        self.graph.register_initializer(value)
        return value

    def _add(
        self, operator: str, operands: list[ir.Value], name: str, kind: ir.DataType, **attributes: int
    ) -> ir.Value:
        node = ir.node(operator, operands, attributes=attributes, name=name)
        node.outputs[0].name, node.outputs[0].dtype = name, kind
        self.graph.append(node)
        return node.outputs[0]
