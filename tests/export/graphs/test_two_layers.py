"""Graphs of a network that draws two layers: finite where nothing moves, as exact as others in FP16 and INT8."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from precisions import GRAPHS, inferred_types, scales, shipped_graph

from tremorscope.calibration.scales.observation import Observer
from tremorscope.export.check import _film, compare, compare_band
from tremorscope.export.graphs.half_graph import half_graph
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.quantisation_rules import offences
from tremorscope.export.graphs.quantised_graph import (
    quantised_graph,
    quantised_graph_for_cpu,
    quantised_layers,
)
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

NANO = SHIPPED_BUNDLES / "nano"


@cache
def network() -> RealtimeNetwork:
    nano = load_weights(find_weights("nano")).network
    assert isinstance(nano, RealtimeNetwork)
    return nano


def graph(name: GraphName) -> onnx.ModelProto:
    return shipped_graph(name, NANO)


def test_where_nothing_moves_at_all_everything_inside_the_graph_is_finite() -> None:
    """Exporters drop a sum with a number near zero, and with it what kept 0 / 0 from being computed."""
    frame = _film(97, 64, 0.0, 0)
    moved = frame.copy()
    moved[:8, :8] = _film(97, 64, 0.5, 1)[:8, :8]
    observed = Observer(graph("pairwise"), threads=1).observe(moved, frame, 50.0)
    assert all(np.isfinite(tensor).all() for tensor in observed.values())


@pytest.mark.parametrize("name", GRAPHS)
def test_in_fp16_it_gives_the_grey_levels_of_pytorch_to_within_two(name: GraphName, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    halved = half_graph(graph(name))
    onnx.save(halved, path)
    judge = compare if name == "pairwise" else compare_band
    for found in judge(path, network(), 161, 119, (1.0, 100.0), "fp16"):  # which refuses what is worse
        assert found.worst_grey_levels <= 2
    types = inferred_types(halved)
    exact = {"Sigmoid", "GridSample", "AveragePool", "Div", "Resize"}
    for node in halved.graph.node:
        if node.op_type in exact:  # both displacements, the mask and the picture
            assert onnx.TensorProto.FLOAT16 not in {types[value] for value in node.output}, node.name


@pytest.mark.parametrize("name", GRAPHS)
def test_in_int8_every_rule_is_kept(name: GraphName) -> None:
    quantised = quantised_graph(graph(name), scales(NANO))
    assert list(offences(quantised)) == []
    assert quantised_layers(quantised) == decoder_layers(graph(name))
    assert decoder_layers(graph(name)) == ("decoder.0", "decoder.2", "decoder.4", "head.conv")


@pytest.mark.parametrize("name", GRAPHS)
def test_in_int8_on_a_cpu_it_stays_near_pytorch(name: GraphName, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(quantised_graph_for_cpu(graph(name), scales(NANO)), path)
    judge = compare if name == "pairwise" else compare_band
    for found in judge(path, network(), 97, 64, (20.0,), "int8"):
        assert found.differing_share > 0.01  # which is .0001 in FP32
        assert found.rms_grey_levels < 5


def test_in_int8_on_a_cpu_the_head_is_too_and_warps_take_the_fast_kernel(tmp_path: Path) -> None:
    path, optimised = tmp_path / "cpu.onnx", tmp_path / "optimised.onnx"
    onnx.save(quantised_graph_for_cpu(graph("pairwise"), scales(NANO)), path)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    found = onnx.load(optimised)
    operators = [node.op_type for node in found.graph.node]
    assert operators.count("QLinearConv") == len(decoder_layers(graph("pairwise")))
    assert "Softmax" not in operators
    outputs = {each.name: each.dims for each in found.graph.initializer if len(each.dims) == 4}
    assert all(
        outputs[node.input[3]][0] % 8 == 0 for node in found.graph.node if node.op_type == "QLinearConv"
    )
    warps = [node for node in found.graph.node if node.op_type == "GridSample"]
    settings = [{each.name: helper.get_attribute_value(each) for each in node.attribute} for node in warps]
    assert [(each["padding_mode"], each.get("align_corners", 0)) for each in settings] == [(b"zeros", 0)] * 3


def test_a_still_film_stays_as_it_is_within_two_grey_levels() -> None:
    frame = _film(97, 64, 0.0, 0)
    magnified = np.empty_like(frame)
    OnnxRuntimeEngine(open_bundle(NANO).graph_path("pairwise"), width_px=97, height_px=64).step(
        frame, frame, 200.0, magnified
    )
    change = np.abs(magnified.astype(int) - frame)
    assert change.max() <= 2
    assert change.mean() < 0.05
