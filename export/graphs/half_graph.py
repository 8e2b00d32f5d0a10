"""FP16 in a step graph by explicit casts, as strongly typed TensorRT requires."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir

from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.layers import close_graph, mark_exact, open_graph, reduced_region

_ALWAYS_FP32 = {("Resize", 1), ("Resize", 2)}
"""Inputs that ONNX defines as FP32 for all data types: region of interest and scales."""


def half_graph(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same step graph with encoders and decoder in FP16; see `export.graphs.layers.reduced_region`.

    Raises:
        ExportFault: the graph is not of the realtime network, is not in FP32, or has weights beyond FP16.
    """
    model = open_graph(graph)
    region = reduced_region(model.graph)
    mark_exact(model.graph, region)
    to_half(model.graph, region)
    return close_graph(model)


def to_half(graph: ir.Graph, region: set[ir.Node]) -> None:
    """Convert a region to FP16: constants are converted, inputs and outputs of the region are cast."""
    halves: dict[ir.Value, ir.Value] = {}
    for node in [each for each in graph if each in region]:
        for index, value in enumerate(node.inputs):
            if value is None or value.dtype != ir.DataType.FLOAT or (node.op_type, index) in _ALWAYS_FP32:
                continue
            if value.producer() in region:
                continue
            if value not in halves:
                halves[value] = (
                    _half_constant(graph, value) if value.is_initializer() else _cast(graph, value)
                )
            node.replace_input_with(index, halves[value])
    for node in region:
        for value in node.outputs:
            _restore_outside(graph, value, region)
            if value.dtype == ir.DataType.FLOAT:
                value.dtype = ir.DataType.FLOAT16


def _restore_outside(graph: ir.Graph, value: ir.Value, region: set[ir.Node]) -> None:
    outside = [(use.node, use.idx) for use in value.uses() if use.node not in region]
    if not outside or value.dtype != ir.DataType.FLOAT:
        return
    restored = _cast(graph, value, ir.DataType.FLOAT)
    for node, index in outside:
        node.replace_input_with(index, restored)


def _cast(graph: ir.Graph, value: ir.Value, to: ir.DataType = ir.DataType.FLOAT16) -> ir.Value:
    name = f"{value.name}.{to.short_name()}"
    node = ir.node("Cast", [value], attributes={"to": to.value}, name=name)
    node.outputs[0].name = name
    node.outputs[0].dtype = to
    graph.append(node)
    return node.outputs[0]


def _half_constant(graph: ir.Graph, value: ir.Value) -> ir.Value:
    assert value.const_value is not None
    numbers = value.const_value.numpy()
    if np.abs(numbers).max(initial=0) > np.finfo(np.float16).max:
        raise ExportFault(
            f"{value.name}: beyond the range of FP16", remedy="train the network again, or keep it in FP32"
        )
    name = f"{value.name}.f16"
    half = ir.Value(name=name, const_value=ir.tensor(numbers.astype(np.float16), name=name))
    half.dtype, half.shape = ir.DataType.FLOAT16, value.shape
    graph.register_initializer(half)
    return half
