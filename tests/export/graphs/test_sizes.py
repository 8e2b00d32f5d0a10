"""Sizes read by a graph: of a cast tensor, an axis at a time, and the same numbers as before."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tremorscope.export.graphs.sizes import plain_sizes


def sizing_graph(cast: bool, **bounds: int) -> onnx.ModelProto:
    """Gives the size of an 8-bit picture between two axes, beside its cast or not."""
    nodes = [helper.make_node("Shape", ["frame"], ["size"])]
    nodes[0].attribute.extend(helper.make_attribute(name, axis) for name, axis in bounds.items())
    outputs = [helper.make_tensor_value_info("size", TensorProto.INT64, ["axes"])]
    if cast:
        nodes.append(helper.make_node("Cast", ["frame"], ["real"], to=TensorProto.FLOAT))
        outputs.append(helper.make_tensor_value_info("real", TensorProto.FLOAT, [1, "height", "width", 3]))
    frame = helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, "height", "width", 3])
    graph = helper.make_graph(nodes, "sizing", [frame], outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(graph: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    onnx.checker.check_model(graph, full_check=True)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    size: np.ndarray = session.run(["size"], {"frame": frame})[0]
    return size


def check_plain(graph: onnx.ModelProto) -> None:
    eight_bit = {
        value.name for value in graph.graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8
    }
    shapes = [node for node in graph.graph.node if node.op_type == "Shape"]
    assert shapes, "nothing is judged"
    assert not [node for node in shapes if node.attribute or node.input[0] in eight_bit]


def check_whole_positions(graph: onnx.ModelProto) -> None:
    """Positions are counted in whole numbers: of floating point TensorRT takes ranges only with caveats."""
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph.value_info
    }
    ranges = [node for node in graph.graph.node if node.op_type == "Range"]
    assert [types[node.output[0]] for node in ranges] == [TensorProto.INT64] * 2


@pytest.mark.parametrize("cast", [True, False])
@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, [1, 35, 61, 3]),
        ({"start": 1, "end": 2}, [35]),
        ({"start": 1, "end": 3}, [35, 61]),
        ({"start": -2}, [61, 3]),
        ({"start": 0, "end": -1}, [1, 35, 61]),
    ],
)
def test_the_sizes_are_those_of_before(cast: bool, bounds: dict[str, int], expected: list[int]) -> None:
    frame = np.zeros((1, 35, 61, 3), np.uint8)
    graph = sizing_graph(cast, **bounds)
    assert run(graph, frame).tolist() == expected
    plain = plain_sizes(graph)
    check_plain(plain)
    assert run(plain, frame).tolist() == expected
