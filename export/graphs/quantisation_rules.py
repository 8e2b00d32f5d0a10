"""Independent check of a quantised graph against TensorRT's rules of explicit quantisation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray

from tremorscope.export.errors import ExportFault

_COMPARED_WITH = ("reference", "previous")
"""Inputs that must not be encoded alone, only their difference to the frame."""


def check_rules(graph: onnx.ModelProto, fused_sums: bool = False) -> None:
    """Refuse a graph that breaks a rule of explicit quantisation, or of taking differences first.

    Args:
        graph: a step graph of any precision.
        fused_sums: True requires quantised skip branches at residual sums, False forbids them.

    Raises:
        ExportFault: a rule is broken; the first offence is named.
    """
    offence = next(offences(graph, fused_sums), None)
    if offence is not None:
        raise ExportFault(offence, remedy="this is a defect of the export: please report it")


def offences(graph: onnx.ModelProto, fused_sums: bool = False) -> Iterator[str]:
    """Broken rules of a graph, one message each."""
    model = ir.from_proto(graph)
    for node in model.graph:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield from _of_scales(node)
        if node.op_type == "Conv":
            yield from _of_convolution(node)
        if node.op_type == "Add":
            yield from _of_sum(node, fused_sums)
    for value in model.graph.inputs:
        if value.name in _COMPARED_WITH and (encoder := _encoded_alone(value)) is not None:
            yield f"{encoder.name}: encodes the {value.name} by itself: differences are taken on the pixels"


def _of_scales(node: ir.Node) -> Iterator[str]:
    scale, zero = (_constant(value) for value in node.inputs[1:3])
    if scale is None or zero is None:
        yield f"{node.name}: its scale or its zero point is no initialiser"
        return
    if zero.dtype != np.int8 or np.any(zero):
        yield f"{node.name}: its zero point is not 0 in INT8"
    if not (np.issubdtype(scale.dtype, np.floating) and np.all((scale > 0) & (scale < np.inf))):
        yield f"{node.name}: its scale is no positive number"
    weights = _weights_of(node)
    if weights is None:
        if scale.ndim:
            yield f"{node.name}: an activation has more than one scale"
        return
    axis = node.attributes.get("axis")
    stored = (
        np.int8
        if node.op_type == "DequantizeLinear" and _constant(node.inputs[0]) is not None
        else scale.dtype
    )
    if weights.dtype != stored:
        yield f"{node.name}: weights are stored neither as INT8 nor, before a Q/DQ pair, as the scale is"
    if axis is None or axis.as_int() != 0 or scale.shape != weights.shape[:1]:
        yield f"{node.name}: weights have not one scale for each output channel, on axis 0"


def _weights_of(node: ir.Node) -> NDArray[Any] | None:
    """Weights that a Q or DQ node quantises, itself or by the Q before it; None for an activation."""
    source = _producer(node.inputs[0])
    if node.op_type == "DequantizeLinear" and source is not None and source.op_type == "QuantizeLinear":
        node = source
    return _constant(node.inputs[0])


def _of_convolution(node: ir.Node) -> Iterator[str]:
    data, weights = (_is_dequantised(value) for value in node.inputs[:2])
    if data != weights:
        yield f"{node.name}: only one of data and weights is quantised"
    if len(node.inputs) > 2 and (bias := _constant(node.inputs[2])) is not None:
        if not np.issubdtype(bias.dtype, np.floating):
            yield f"{node.name}: its bias is not in floating point"
    elif len(node.inputs) > 2 and node.inputs[2] is not None:
        yield f"{node.name}: its bias is no initialiser"


def _of_sum(node: ir.Node, fused: bool) -> Iterator[str]:
    """At a sum behind a quantised convolution, its branch must not be quantised, the skip branch only if fused."""
    for index in (0, 1):
        branch, beside = node.inputs[index], node.inputs[1 - index]
        if _constant(beside) is not None:  # no branch, but a number that is added
            continue
        if _is_quantised_convolution(_producer(branch)) and _is_dequantised(beside) != fused:
            state = "not quantised" if fused else "quantised"
            yield f"{node.name}: the branch that skips a quantised convolution is {state}"
        # A value with further readers is a layer's input (read by the first block, too), not a branch.
        read_here_alone = branch is not None and len(branch.uses()) == 1 and _is_dequantised(branch)
        if read_here_alone and _is_quantised_convolution(_producer(_producer(_producer(branch)))):
            yield f"{node.name}: the branch of a convolution is quantised"


def _producer(value: ir.Value | ir.Node | None) -> ir.Node | None:
    """Producer of a value, or of the first input of a node."""
    if isinstance(value, ir.Node):
        value = value.inputs[0]
    return None if value is None else value.producer()


def _is_quantised_convolution(node: ir.Node | None) -> bool:
    return node is not None and node.op_type == "Conv" and _is_dequantised(node.inputs[0])


def _is_dequantised(value: ir.Value | None) -> bool:
    node = _producer(value)
    return node is not None and node.op_type == "DequantizeLinear"


def _encoded_alone(value: ir.Value) -> ir.Node | None:
    """A convolution that reads a frame before another was subtracted from it; None if there is none."""
    for node in value.consumers():
        if node.op_type == "Conv":
            return node
        if node.op_type == "Shape":  # a size is no pixel
            continue
        if node.op_type == "Sub" and all(_constant(subtracted) is None for subtracted in node.inputs):
            continue
        for output in node.outputs:
            if (found := _encoded_alone(output)) is not None:
                return found
    return None


def _constant(value: ir.Value | None) -> NDArray[Any] | None:
    if value is None or value.const_value is None:
        return None
    numbers: NDArray[Any] = value.const_value.numpy()
    return numbers
