"""What the runtime reads of ONNX's files agrees with ONNX's own package."""

from __future__ import annotations

from pathlib import Path

import pytest

from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES
from tremorscope.runtime.engines.onnx.file import convolution_precisions, matrix_product

GRAPHS = sorted(SHIPPED_BUNDLES.glob("*/*.onnx"))


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_convolution_is_found_in_the_type_of_its_weights(graph: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(graph).graph
    types = {each.name: each.data_type for each in model.initializer}
    half = onnx.TensorProto.FLOAT16
    wanted = {
        node.name: "fp16" if types[node.input[1]] == half else "fp32"
        for node in model.node
        if node.op_type == "Conv"
    }
    assert convolution_precisions(graph.read_bytes()) == wanted
    assert ("fp16" in wanted.values()) == graph.parent.name.endswith("fp16")


def test_weights_behind_a_dequantise_are_in_int8() -> None:
    onnx = pytest.importorskip("onnx")
    make, tensor = onnx.helper.make_node, onnx.helper.make_tensor
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            make("DequantizeLinear", ["w.q", "scale"], ["w"]),
            make("Conv", ["x", "w"], ["y"], name="quantised"),
            make("Conv", ["y", "v"], ["z"], name="float"),
        ],
        "test",
        [value("x", float32, [1, 1, 4, 4])],
        [value("z", float32, [1, 1, 4, 4])],
        [
            tensor("w.q", onnx.TensorProto.INT8, [1, 1, 1, 1], [3]),
            tensor("scale", float32, [], [0.5]),
            tensor("v", float32, [1, 1, 1, 1], [2.0]),
        ],
    )
    content = onnx.helper.make_model(graph).SerializeToString()
    assert convolution_precisions(content) == {"quantised": "int8", "float": "fp32"}


@pytest.mark.parametrize("content", [b"\x3a\xff", b"\xff" * 20, matrix_product(8, "fp32")[:-3]])
def test_a_file_that_is_cut_short_or_none_at_all_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no ONNX file"):
        convolution_precisions(content)


def test_a_graph_without_convolutions_has_none() -> None:
    assert convolution_precisions(matrix_product(8, "int8")) == {}
    assert convolution_precisions(b"") == {}
