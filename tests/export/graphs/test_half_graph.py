"""FP16 by casts: where it is, where it must not be, and what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from precisions import GRAPHS, constants, inferred_types, shipped_graph, shipped_network

from tremorscope.export.check import compare, compare_band
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.half_graph import half_graph, to_half
from tremorscope.export.graphs.layers import _reached, close_graph, decoder_layers, open_graph
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.runtime.engines.interface.manifest import GraphName

FLOAT, HALF = onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16


FEATURES_REARRANGED = "depthtospace.1"
"""Before the stage at a quarter of the resolution: the decoder's features, which are in FP16 on either side."""


@pytest.fixture(scope="module", params=GRAPHS)
def halved(request: pytest.FixtureRequest) -> tuple[GraphName, onnx.ModelProto]:
    return request.param, half_graph(shipped_graph(request.param))


def test_the_decoder_is_in_fp16_and_what_must_be_exact_in_fp32(
    halved: tuple[GraphName, onnx.ModelProto],
) -> None:
    name, graph = halved
    types = inferred_types(graph)
    layers = set(decoder_layers(shipped_graph(name)))
    for node in graph.graph.node:
        if node.op_type == "Conv":
            expected = HALF if node.name in layers | {"texture_encoder"} else FLOAT
            assert {types[value] for value in (*node.input, *node.output)} == {expected}, node.name
        # The difference of the pixels, the displacement measured on it, the state, coordinates and the picture.
        if node.name.removeprefix("fp32/") == FEATURES_REARRANGED:
            continue
        if node.op_type in ("Sub", "Div", "AveragePool", "ReduceSum", "DepthToSpace", "GridSample", "Round"):
            assert HALF not in {types[value] for value in (*node.input, *node.output)}, node.name
    signature = {value.name: value.type for value in (*graph.graph.input, *graph.graph.output)}
    before = shipped_graph(name).graph
    assert signature == {value.name: value.type for value in (*before.input, *before.output)}


def test_what_must_be_exact_says_so_in_its_name(halved: tuple[GraphName, onnx.ModelProto]) -> None:
    """TensorRT 8.6 types a network by itself; by these names the layers are known that must not be reduced."""
    name, graph = halved
    types = inferred_types(graph)
    for node in graph.graph.node:
        reduced = HALF in {types[value] for value in node.output if value}
        if node.op_type != "Cast":  # which stand at the border between
            assert node.name.startswith("fp32/") is not reduced, node.name
    assert {node.name for node in graph.graph.node if node.op_type == "GridSample"} == {
        f"fp32/gridsample.{number}" for number in (1, 2, 3)
    }, "the upper layer's displacement, and both layers"
    assert all("/" not in node.name for node in shipped_graph(name).graph.node)


@pytest.mark.parametrize("name", GRAPHS)
def test_at_full_hd_width_it_stays_within_two_grey_levels_of_fp32(name: GraphName, tmp_path: Path) -> None:
    """A strip as wide as full HD, moving by 8 px: in FP16 positions beyond 1024 px would be whole pixels."""
    network = shipped_network()
    assert isinstance(network, RealtimeNetwork)
    path = tmp_path / f"{name}.onnx"
    onnx.save(half_graph(shipped_graph(name)), path)
    judge = compare if name == "pairwise" else compare_band
    for found in judge(path, network, 1920, 32, (80.0,), "fp16"):
        assert found.worst_grey_levels <= 2
        assert found.rms_grey_levels < 0.3


def test_coordinates_in_fp16_would_be_noticed_at_that_width(tmp_path: Path) -> None:
    model = open_graph(shipped_graph("pairwise"))
    positions = [node for node in model.graph if node.op_type == "Range"]
    samples = [node for node in model.graph if node.op_type == "GridSample"]
    between = _reached(positions, ir.Node.successors) & _reached(samples, ir.Node.predecessors) - {
        *positions,
        *samples,
    }
    to_half(model.graph, {node for node in between if node.op_type != "Cast"})
    onnx.save(close_graph(model), tmp_path / "pairwise.onnx")
    with pytest.raises(ExportFault, match="grey levels from PyTorch"):
        compare(tmp_path / "pairwise.onnx", shipped_network(), 1920, 32, (80.0,), "fp16")


def test_weights_take_half_the_room(halved: tuple[GraphName, onnx.ModelProto]) -> None:
    name, graph = halved
    assert graph.ByteSize() < 0.56 * shipped_graph(name).ByteSize()
    assert [entry.version for entry in graph.opset_import] == [17]


def test_it_gives_the_grey_levels_of_pytorch_to_within_two(
    halved: tuple[GraphName, onnx.ModelProto], tmp_path: Path
) -> None:
    name, graph = halved
    path = tmp_path / f"{name}.onnx"
    onnx.save(graph, path)
    network = shipped_network()
    assert isinstance(network, RealtimeNetwork)
    judge = compare if name == "pairwise" else compare_band
    for found in judge(path, network, 61, 35, (100.0,), "fp16"):
        assert found.worst_grey_levels <= 2
        assert found.rms_grey_levels < 0.3


def test_more_than_fp16_loses_is_noticed(tmp_path: Path) -> None:
    graph = half_graph(shipped_graph("pairwise"))
    bias = next(each for each in graph.graph.initializer if each.name == "network.head.conv.bias.f16")
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) + np.float16(0.1), bias.name))
    onnx.save(graph, tmp_path / "pairwise.onnx")
    with pytest.raises(ExportFault, match=r"grey levels from PyTorch, .* RMS \(allowed: 2, and 0.5 RMS\)"):
        compare(tmp_path / "pairwise.onnx", shipped_network(), 64, 48, (20.0,), "fp16")


def changed(weights: str, number: float) -> onnx.ModelProto:
    graph = onnx.ModelProto()
    graph.CopyFrom(shipped_graph("pairwise"))
    for constant in graph.graph.initializer:
        if constant.name == weights:
            numbers = onnx.numpy_helper.to_array(constant).copy()
            numbers.flat[0] = number
            constant.CopyFrom(onnx.numpy_helper.from_array(numbers, weights))
    return graph


def test_weights_beyond_fp16_are_refused() -> None:
    with pytest.raises(ExportFault, match=r"network\.decoder\.0\.weight: beyond the range of FP16: train"):
        half_graph(changed("network.decoder.0.weight", 7e4))


def test_what_is_reduced_already_is_refused() -> None:
    with pytest.raises(ExportFault, match="the graph is not in FP32: start from a bundle in FP32"):
        half_graph(half_graph(shipped_graph("pairwise")))


def test_another_network_is_refused() -> None:
    graph = onnx.ModelProto()
    graph.CopyFrom(shipped_graph("pairwise"))
    for node in graph.graph.node:
        for index, name in enumerate(node.input):
            if name == "network.shape_encoder.weight":
                node.input[index] = "network.stem.0.weight"
    for constant in graph.graph.initializer:
        if constant.name == "network.shape_encoder.weight":
            constant.name = "network.stem.0.weight"
    assert "network.stem.0.weight" in constants(graph)
    with pytest.raises(ExportFault, match=r"not of the realtime network: FP16 and INT8 are for that"):
        half_graph(graph)
