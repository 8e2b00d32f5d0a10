"""A tidied graph says what it is, and nothing of the machine that made it."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from precisions import GRAPHS, shipped_graph

from tremorscope.export.graphs.tidy import stamp, tidy
from tremorscope.runtime.engines.interface.manifest import GraphName


def untidy_graph() -> onnx.ModelProto:
    """x + x with a double, a dead node, an unused constant, an identity, and a note of where it was made."""
    node = helper.make_node
    nodes = [
        node("Add", ["x", "x"], ["a"], name="one"),
        node("Add", ["x", "x"], ["b"], name="other"),
        node("Identity", ["b"], ["c"]),
        node("Relu", ["x"], ["dead"]),
        node("Mul", ["a", "c"], ["y"], name="last"),
    ]
    nodes[0].metadata_props.add(key="stack_trace", value="/home/somebody/export.py")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, [4])], [value("y", TensorProto.FLOAT, [4])],
        [numpy_helper.from_array(np.zeros(1000, np.float32), "unused")],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_nobody_needs_goes_and_the_rest_computes_the_same() -> None:
    before, after = untidy_graph(), tidy(untidy_graph())
    assert [node.op_type for node in after.graph.node] == ["Add", "Mul"]
    assert not after.graph.initializer
    assert b"somebody" not in after.SerializeToString()
    x = np.arange(4, dtype=np.float32)
    results = [
        onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )
        for graph in (before, after)
    ]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", GRAPHS)
def test_nodes_have_names_and_convolutions_those_of_their_modules(name: GraphName) -> None:
    graph = tidy(shipped_graph(name))
    names = [node.name for node in graph.graph.node]
    assert len(set(names)) == len(names)
    assert {
        "texture_encoder",
        "shape_encoder",
        "decoder.0",
        "decoder.4",
        "head.conv",
    } < set(names)
    read = {value for node in graph.graph.node for value in node.input} | {o.name for o in graph.graph.output}
    assert all(set(node.output) & read for node in graph.graph.node), "a dead node"
    assert all(constant.name in read for constant in graph.graph.initializer)


def test_a_stamp_replaces_an_earlier_one() -> None:
    graph = stamp(stamp(untidy_graph(), {"precision": "fp32", "network": "a"}), {"precision": "int8"})
    assert {entry.key: entry.value for entry in graph.metadata_props} == {"precision": "int8", "network": "a"}
