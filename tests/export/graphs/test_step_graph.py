"""The step graph: its interface, difference first, and grey levels equal to PyTorch's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from test_sizes import check_plain, check_whole_positions

from tremorscope.export.check import compare
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.step_graph import pairwise_graph
from tremorscope.model.networks.baseline import BaselineConfig, BaselineNetwork
from tremorscope.model.networks.families import Network
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

REALTIME = RealtimeConfig(decoder_blocks=2, decoder_channels=16, texture_channels=8, shape_channels=8)
BASELINE = BaselineConfig(channels=8, encoder_blocks=1, branch_blocks=1, decoder_blocks=2)


@cache
def exported(name: str) -> tuple[Network, onnx.ModelProto]:
    """A network, and its graph for frames of any size."""
    torch.manual_seed(1)
    network: Network
    if name == "baseline":
        network = BaselineNetwork(BASELINE)
    elif name == "realtime":
        network = RealtimeNetwork(REALTIME)
    else:
        network = RealtimeNetwork(replace(REALTIME, decoder_scale=8))
    return network, pairwise_graph(network, None)


@pytest.fixture(scope="module", params=["realtime", "realtime, at an eighth", "baseline"])
def case(request: pytest.FixtureRequest) -> tuple[Network, onnx.ModelProto]:
    return exported(request.param)


@pytest.fixture(scope="module")
def network(case: tuple[Network, onnx.ModelProto]) -> Network:
    return case[0]


@pytest.fixture(scope="module")
def graph(case: tuple[Network, onnx.ModelProto]) -> onnx.ModelProto:
    return case[1]


def signature(graph: onnx.ModelProto) -> dict[str, tuple[str, list[int | str]]]:
    return {
        value.name: (
            onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type),
            [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim],
        )
        for value in (*graph.graph.input, *graph.graph.output)
    }


def test_frames_are_eight_bit_and_packed_and_the_opset_is_17(graph: onnx.ModelProto) -> None:
    frame = ("UINT8", [1, "height", "width", 3])
    assert signature(graph) == {
        "frame": frame, "reference": frame, "amplification": ("FLOAT", [1]), "magnified": frame,
    }  # fmt: skip
    assert [(entry.domain, entry.version) for entry in graph.opset_import] == [("", 17)]


@pytest.mark.parametrize(("width_px", "height_px"), [(64, 48), (61, 35), (97, 130)])
def test_it_gives_the_grey_levels_of_pytorch(
    network: Network, graph: onnx.ModelProto, tmp_path: Path, width_px: int, height_px: int
) -> None:
    path = tmp_path / "pairwise.onnx"
    path.write_bytes(graph.SerializeToString())
    for found in compare(path, network, width_px, height_px, (1.0, 20.0, 200.0)):
        assert found.worst_grey_levels <= 1
        assert found.differing_share < 0.001


def test_another_networks_graph_is_noticed(graph: onnx.ModelProto, network: Network, tmp_path: Path) -> None:
    path = tmp_path / "pairwise.onnx"
    path.write_bytes(graph.SerializeToString())
    other = type(network)(network.config)  # type: ignore[arg-type]
    with pytest.raises(ExportFault, match="grey levels from PyTorch"):
        compare(path, other, 64, 48, (20.0,))


def test_sizes_are_read_plainly_and_positions_counted_in_whole_numbers() -> None:
    graph = exported("realtime")[1]
    check_plain(graph)
    check_whole_positions(graph)


def test_a_graph_of_one_size_states_it() -> None:
    graph = pairwise_graph(RealtimeNetwork(REALTIME), FrameSize(width_px=61, height_px=35))
    assert signature(graph)["magnified"] == ("UINT8", [1, 35, 61, 3])


def test_the_difference_is_taken_on_the_pixels() -> None:
    """The reference meets the frame in a subtraction before any convolution: no rounded features are subtracted."""
    graph = exported("realtime")[1].graph
    constants = {tensor.name for tensor in graph.initializer}

    def first_met(name: str) -> set[str]:
        met: set[str] = set()
        for node in graph.node:
            if name in node.input and node.op_type != "Shape":  # a size is no pixel
                stop = node.op_type == "Conv" or (node.op_type == "Sub" and not constants & set(node.input))
                met |= {node.op_type} if stop else set().union(*map(first_met, node.output))
        return met

    assert first_met("reference") == {"Sub"}
    assert {"Sub", "Conv"} <= first_met("frame")


def test_a_still_frame_is_untouched_by_amplification(tmp_path: Path) -> None:
    path = tmp_path / "pairwise.onnx"
    path.write_bytes(exported("realtime")[1].SerializeToString())
    engine = OnnxRuntimeEngine(path, width_px=64, height_px=48)
    frame = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    results = []
    for amplification in (1.0, 50.0):
        magnified = np.empty_like(frame)
        engine.step(frame, frame, amplification, magnified)
        results.append(magnified)
    np.testing.assert_array_equal(*results)
