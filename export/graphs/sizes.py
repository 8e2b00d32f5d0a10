"""Run-time sizes in a graph, in a form that every TensorRT reads."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import TopologicalSortPass

_NETWORK_BORDER = (ir.DataType.UINT8,)
"""Types that TensorRT supports only as inputs and outputs of a network."""


def plain_sizes(graph: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, in which every ``Shape`` is of all axes, and of a type that TensorRT computes with.

    PyTorch's exporter takes one axis of an 8-bit input. The parser of TensorRT 8.6 ignores ``start`` and ``end`` and
    returns all axes, and no version's table of operators has ``Shape`` of UINT8. So the shape is taken of the input's
    cast, and the axis is gathered from it, which gives the same numbers.
    """
    model = ir.from_proto(graph)
    for node in [each for each in model.graph if each.op_type == "Shape"]:
        measured, result = node.inputs[0], node.outputs[0]
        assert measured is not None
        assert measured.shape is not None
        axes = list(range(measured.shape.rank()))[_bound(node, "start") : _bound(node, "end")]
        whole = ir.node("Shape", [_computable(model.graph, measured)])
        axes_value = _constant(model.graph, f"{result.name}.axes", axes)
        gather = ir.node("Gather", [whole.outputs[0], axes_value], attributes={"axis": 0})
        gather.outputs[0].type, gather.outputs[0].shape = result.type, result.shape
        model.graph.extend([whole, gather])
        ir.convenience.replace_all_uses_with(result, gather.outputs[0], replace_graph_outputs=True)
        result.name, gather.outputs[0].name = None, result.name
        model.graph.remove(node)
    TopologicalSortPass()(model)
    return ir.to_proto(model)


def _bound(node: ir.Node, name: str) -> int | None:
    attribute = node.attributes.get(name)
    return None if attribute is None else attribute.as_int()


def _computable(graph: ir.Graph, value: ir.Value) -> ir.Value:
    if value.dtype not in _NETWORK_BORDER:
        return value
    for user in value.consumers():
        if user.op_type == "Cast":
            return user.outputs[0]
    cast = ir.node("Cast", [value], attributes={"to": ir.DataType.FLOAT.value})
    cast.outputs[0].dtype, cast.outputs[0].shape = ir.DataType.FLOAT, value.shape
    graph.append(cast)
    return cast.outputs[0]


def _constant(graph: ir.Graph, name: str, numbers: list[int]) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(np.array(numbers, np.int64), name=name))
    value.dtype, value.shape = ir.DataType.INT64, ir.Shape([len(numbers)])
    graph.register_initializer(value)
    return value
