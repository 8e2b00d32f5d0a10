"""INT8 by Q/DQ: the rules it keeps, that a break of each is noticed, and what it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from precisions import (
    GRAPHS,
    constants,
    inferred_types,
    residual_graph,
    residual_scales,
    scales,
    shipped_graph,
    shipped_network,
)

from tremorscope.export.check import _film, compare, compare_band
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.qdq import LEVELS, quantise_per_channel
from tremorscope.export.graphs.quantisation_rules import check_rules, offences
from tremorscope.export.graphs.quantised_graph import (
    quantised_graph,
    quantised_graph_for_cpu,
    quantised_layers,
)
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

LAYERS = decoder_layers(shipped_graph("pairwise"))
KINDS = [(name, unquantised) for name in GRAPHS for unquantised in ("fp32", "fp16")]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: " ".join(kind))
def quantised(request: pytest.FixtureRequest) -> tuple[GraphName, str, onnx.ModelProto]:
    name, unquantised = request.param
    return name, unquantised, quantised_graph(shipped_graph(name), scales(), unquantised=unquantised)


def test_every_rule_is_kept(quantised: tuple[GraphName, str, onnx.ModelProto]) -> None:
    assert list(offences(quantised[2])) == []


def test_the_whole_decoder_is_in_int8_and_nothing_else(
    quantised: tuple[GraphName, str, onnx.ModelProto],
) -> None:
    _, unquantised, graph = quantised
    made_by = {output: node for node in graph.graph.node for output in node.output}
    in_int8 = {
        node.name
        for node in graph.graph.node
        if node.op_type == "Conv" and made_by[node.input[0]].op_type == "DequantizeLinear"
    }
    assert in_int8 == set(LAYERS)
    # One pair a tensor: what each layer reads. Sums reuse the pairs of what skips a convolution.
    pairs = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    of_weights = [node for node in pairs if node.input[0] in constants(graph)]
    assert len(pairs) - len(of_weights) == len(LAYERS)
    assert len(of_weights) == (0 if unquantised == "fp16" else len(LAYERS))
    scale_types = {
        constants(graph)[node.input[1]].dtype.name
        for node in graph.graph.node
        if node.op_type in ("QuantizeLinear", "DequantizeLinear")
    }
    assert scale_types == {"float16" if unquantised == "fp16" else "float32"}
    assert [entry.version for entry in graph.opset_import] == [19 if unquantised == "fp16" else 17]


def test_coordinates_and_picture_stay_in_fp32(quantised: tuple[GraphName, str, onnx.ModelProto]) -> None:
    types = inferred_types(quantised[2])
    for node in quantised[2].graph.node:
        if node.op_type in ("DepthToSpace", "GridSample", "Round", "Sub"):
            assert types[node.output[0]] in (onnx.TensorProto.FLOAT, onnx.TensorProto.INT64), node.name


def test_weights_are_stored_as_int8_where_every_parser_meant_takes_that(
    quantised: tuple[GraphName, str, onnx.ModelProto],
) -> None:
    """TensorRT 8.6, for which the graph beside FP32 is, wants them in FP32 before a Q/DQ pair: on INT8's grid then."""
    name, unquantised, graph = quantised
    before, after = constants(shipped_graph(name)), constants(graph)
    ending = ".q" if unquantised == "fp16" else ".grid"
    for layer in LAYERS:
        weights = before[f"network.{layer}.weight"]
        key = next(key for key in after if key.startswith(f"network.{layer}.weight") and key.endswith(ending))
        stored, steps = after[key], after[key.removesuffix(ending) + ".scale"]
        if unquantised == "fp16":
            assert stored.dtype == np.int8
            assert weights.nbytes == 4 * stored.nbytes
        else:
            levels = stored / steps[:, None, None, None]
            assert stored.dtype == np.float32
            assert np.abs(levels - np.rint(levels)).max() < 1e-4
            assert np.abs(levels).max() < LEVELS + 1e-4
    smaller = shipped_graph(name).ByteSize() / graph.ByteSize()
    assert smaller > 2.8 if unquantised == "fp16" else smaller > 0.98


def test_weights_on_the_grid_are_those_that_are_stored_as_int8(tmp_path: Path) -> None:
    """The picture is the same, to the bit, whichever way the weights are written."""
    graph = quantised_graph(shipped_graph("pairwise"), scales())
    stored = onnx.ModelProto()
    stored.CopyFrom(graph)
    numbers = constants(graph)
    for node in [each for each in stored.graph.node if each.output[0].endswith(".weight.q")]:
        levels = np.rint(numbers[node.input[0]] / numbers[node.input[1]][:, None, None, None]).astype(np.int8)
        stored.graph.initializer.append(numpy_helper.from_array(levels, node.output[0]))
        stored.graph.node.remove(node)
    pictures: list[np.ndarray] = []
    for number, each in enumerate((graph, stored)):
        path = tmp_path / f"{number}.onnx"
        onnx.save(each, path)
        engine = OnnxRuntimeEngine(path, width_px=97, height_px=64)
        frame, reference = _film(97, 64, 0.1, 1), _film(97, 64, 0.0, 0)
        pictures.append(np.empty_like(frame))
        engine.step(frame, reference, 20.0, pictures[-1])
    np.testing.assert_array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("make", "name"),
    [(quantised_graph, "pairwise"), (quantised_graph_for_cpu, "pairwise"), (quantised_graph_for_cpu, "band")],
)
def test_it_stays_near_pytorch_in_fp32(
    make: Callable[..., onnx.ModelProto], name: GraphName, tmp_path: Path
) -> None:
    path = tmp_path / f"{name}.onnx"
    onnx.save(make(shipped_graph(name), scales()), path)
    network = shipped_network()
    assert isinstance(network, RealtimeNetwork)
    judge = compare if name == "pairwise" else compare_band
    for found in judge(path, network, 97, 64, (20.0,), "int8"):
        assert found.rms_grey_levels < 5
        assert found.differing_share > 0.01, "not INT8 at all"


def test_with_fp16_beside_it_int8_computes_the_same(tmp_path: Path) -> None:
    outputs = []
    for unquantised in ("fp32", "fp16"):
        path = tmp_path / f"{unquantised}.onnx"
        onnx.save(quantised_graph(shipped_graph("pairwise"), scales(), unquantised=unquantised), path)
        outputs.append(compare(path, shipped_network(), 97, 64, (20.0,), "int8")[0].rms_grey_levels)
    assert outputs[0] == pytest.approx(outputs[1], rel=0.1)


@pytest.mark.parametrize("name", GRAPHS)
def test_the_cpus_arrangement_is_computed_in_int8(name: GraphName, tmp_path: Path) -> None:
    """ONNX Runtime must take up every convolution that is quantised into a kernel of its own for INT8."""
    path, optimised = tmp_path / f"{name}.onnx", tmp_path / "optimised.onnx"
    graph = quantised_graph_for_cpu(shipped_graph(name), scales())
    onnx.save(graph, path)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.log_severity_level = 4
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(optimised).graph.node]
    assert operators.count("QLinearConv") == len(quantised_layers(graph)) == len(LAYERS)
    # Channels come last from the first of them on: nothing is turned between them.
    assert operators.count("Transpose") <= 8


def test_on_a_cpu_the_head_of_two_layers_is_in_int8_too() -> None:
    graph = quantised_graph_for_cpu(shipped_graph("pairwise"), scales())
    assert quantised_layers(graph) == LAYERS
    alone = quantised_graph_for_cpu(shipped_graph("pairwise"), scales(), ["decoder.2"])
    assert quantised_layers(alone) == ("decoder.2",)


def test_on_a_cpu_nothing_is_rounded_to_8_bits_twice() -> None:
    """One pair for each tensor: the first input, behind ReLUs, both sides of sums, the head."""
    graph = quantised_graph_for_cpu(residual_graph(), residual_scales())
    decoded = {node.output[0] for node in graph.graph.node if node.op_type == "DequantizeLinear"}
    pairs = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    assert not [node.name for node in pairs if node.input[0] in decoded]
    assert len(pairs) == 2 + 3 * 6


def test_on_a_cpu_each_channel_that_joins_the_residual_stream_has_steps_of_its_own() -> None:
    """What is quantised has one scale, 1, as kernels want it; weights and bias are divided by the channel's step."""
    graph = quantised_graph_for_cpu(residual_graph(), residual_scales())
    before, after = constants(residual_graph()), constants(graph)
    for layer in ("decoder.0", "decoder.4.conv2"):
        node = next(each for each in graph.graph.node if each.name == layer)
        (quantise,) = [each for each in graph.graph.node if each.input[0] == node.output[0]]
        assert quantise.op_type == "QuantizeLinear"
        assert after[quantise.input[1]] == 1.0
        steps = np.array([residual_scales()[f"{layer}.output.{channel}"] for channel in range(64)])
        assert steps.max() > 2 * steps.min(), "channels differ"
        np.testing.assert_allclose(after[f"{node.output[0]}.steps"].ravel(), steps, rtol=1e-6)
        np.testing.assert_allclose(after[node.input[2]] * steps, before[f"network.{layer}.bias"], rtol=1e-5)
    with pytest.raises(ExportFault, match=r"head.conv.output.7: no scale"):
        quantised_graph_for_cpu(shipped_graph("pairwise"), scales() | {"head.conv.output.7": None})


def test_some_layers_alone_can_be_quantised() -> None:
    graph = quantised_graph(shipped_graph("pairwise"), scales(), ["decoder.2"])
    assert list(offences(graph)) == []
    assert sum(node.op_type == "QuantizeLinear" for node in graph.graph.node) == 2, (
        "of its input and its weights"
    )


def test_what_one_layer_loses_is_less_than_what_all_lose(tmp_path: Path) -> None:
    def lost(layers: tuple[str, ...]) -> float:
        path = tmp_path / "some.onnx"
        onnx.save(quantised_graph(shipped_graph("pairwise"), scales(), layers), path)
        return compare(path, shipped_network(), 97, 64, (200.0,), "int8")[0].rms_grey_levels

    assert 0 < lost(("head.conv",)) < lost(LAYERS)


@pytest.mark.parametrize(
    ("changes", "layers", "complaint"),
    [
        ({}, ["blocks.77.conv1"], "blocks.77.conv1: no such layer in the decoder: choose from decoder.0, "),
        ({"decoder.0.input": None}, None, "decoder.0.input: no scale: calibrate the network"),
        ({"decoder.0.input": 0.0}, None, "decoder.0.input: a scale of 0.0"),
        ({"decoder.0.input": float("nan")}, None, "decoder.0.input: a scale of nan"),
    ],
)
def test_what_cannot_be_quantised_is_refused(
    changes: dict[str, float], layers: list[str] | None, complaint: str
) -> None:
    with pytest.raises(ExportFault, match=complaint):
        quantised_graph(shipped_graph("pairwise"), scales() | changes, layers)


@given(
    arrays.arrays(
        np.float32, (3, 2, 2, 2), elements=st.floats(-(2.0**6), 2.0**6, width=32, allow_subnormal=False)
    )
)
@settings(max_examples=60, deadline=None)
def test_weights_are_rounded_to_the_nearest_step_of_their_channel(weights: np.ndarray) -> None:
    levels, steps = quantise_per_channel(weights, np.float32)
    assert levels.dtype == np.int8
    assert np.abs(levels).max(initial=0) <= LEVELS
    error = np.abs(levels * steps[:, None, None, None].astype(np.float64) - weights)
    assert (error <= 0.5001 * steps[:, None, None, None]).all()


def a_zero_point(graph: onnx.ModelProto) -> None:
    _replace(graph, ".i8.zero", lambda numbers: numbers + np.int8(3))


def a_scale_of_nothing(graph: onnx.ModelProto) -> None:
    _replace(graph, "weight.scale", lambda numbers: 0 * numbers)


def weights_by_input_channel(graph: onnx.ModelProto) -> None:
    node = next(each for each in graph.graph.node if each.attribute and each.op_type == "DequantizeLinear")
    node.attribute[0].i = 1


def a_computed_scale(graph: onnx.ModelProto) -> None:
    node = next(each for each in graph.graph.node if each.op_type == "QuantizeLinear")
    graph.graph.node.insert(0, helper.make_node("Identity", [node.input[1]], ["computed"], name="identity"))
    node.input[1] = "computed"


def an_unasked_skip_in_int8(graph: onnx.ModelProto) -> None:
    graph.CopyFrom(quantised_graph(residual_graph(), residual_scales(), fused_sums=True))


def a_quantised_branch(graph: onnx.ModelProto) -> None:
    convolution = next(each for each in graph.graph.node if each.name == "decoder.3.conv2")
    add = next(each for each in graph.graph.node if convolution.output[0] in each.input)
    index = 1 - list(add.input).index(convolution.output[0])
    branch = add.input[1 - index]
    operands = next(each.input[1:] for each in graph.graph.node if each.output[0].endswith(".i8.q"))
    position = list(graph.graph.node).index(add)
    graph.graph.node.insert(position, helper.make_node("DequantizeLinear", ["b.q", *operands], ["b.dq"]))
    graph.graph.node.insert(position, helper.make_node("QuantizeLinear", [branch, *operands], ["b.q"]))
    next(each for each in graph.graph.node if each.name == add.name).input[1 - index] = "b.dq"


def the_reference_encoded_by_itself(graph: onnx.ModelProto) -> None:
    sub = next(each for each in graph.graph.node if each.op_type == "Sub")
    behind = next(each for each in graph.graph.node if sub.output[0] in each.input)
    index = list(behind.input).index(sub.output[0])
    behind.input[index] = sub.input[1]


def _replace(graph: onnx.ModelProto, suffix: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
    constant = next(each for each in graph.graph.initializer if each.name.endswith(suffix))
    numbers = numpy_helper.to_array(constant)
    constant.CopyFrom(numpy_helper.from_array(change(numbers).astype(numbers.dtype), constant.name))


@pytest.mark.parametrize(
    ("breaks", "complaint"),
    [
        (a_zero_point, "zero point is not 0"),
        (a_scale_of_nothing, "scale is no positive number"),
        (weights_by_input_channel, "on axis 0"),
        (a_computed_scale, "no initialiser"),
        (an_unasked_skip_in_int8, "skips a quantised convolution is quantised"),
        (a_quantised_branch, "the branch of a convolution is quantised"),
        (the_reference_encoded_by_itself, "encodes the reference by itself"),
    ],
)
def test_a_broken_rule_is_noticed(breaks: Callable[[onnx.ModelProto], None], complaint: str) -> None:
    graph = quantised_graph(residual_graph(), residual_scales())
    breaks(graph)
    with pytest.raises(ExportFault, match=complaint):
        check_rules(graph)


def test_sums_are_fused_where_that_is_asked_for() -> None:
    graph = quantised_graph(residual_graph(), residual_scales(), fused_sums=True)
    assert list(offences(graph, fused_sums=True)) == []
    # One pair a tensor all the same: what skips a block is what its first convolution reads.
    pairs = [node for node in graph.graph.node if node.op_type == "QuantizeLinear"]
    of_weights = [node for node in pairs if node.input[0] in constants(graph)]
    layers = decoder_layers(residual_graph())
    assert len(pairs) - len(of_weights) == len(layers) == 2 + 2 * 6
    assert len(of_weights) == len(layers)
    sums = [node for node in graph.graph.node if node.op_type == "Add"]
    made_by = {output: node for node in graph.graph.node for output in node.output}
    residual = [
        [made_by[value].op_type for value in node.input]
        for node in sums
        if any(value in made_by and made_by[value].name.endswith("conv2") for value in node.input)
    ]
    assert len(residual) == 6
    assert all(sorted(kinds) == ["Conv", "DequantizeLinear"] for kinds in residual)
    broken = quantised_graph(residual_graph(), residual_scales())
    with pytest.raises(ExportFault, match="skips a quantised convolution is not quantised"):
        check_rules(broken, fused_sums=True)
