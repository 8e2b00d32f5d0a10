"""The linter of graphs: it passes what is shipped, and notices each way in which a parser would not read a graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from precisions import GRAPHS, scales, shipped_graph
from support import Done

from tremorscope.export.bundle import NetworkSource, write_bundle
from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.quantised_graph import quantised_graph
from tremorscope.export.tensorrt.lint import LintFinding, lint, parsers_since
from tremorscope.export.tensorrt.parser_rules import RULES
from tremorscope.export.tensorrt.support import PARSERS
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import AmplificationRange, GraphName
from tremorscope.runtime.engines.tensorrt.plan import _RULES

SHIPPED = sorted(path.name for path in SHIPPED_BUNDLES.iterdir() if path.is_dir())
FLOAT, BFLOAT16, INT64 = TensorProto.FLOAT, TensorProto.BFLOAT16, TensorProto.INT64
INT8, UINT8 = TensorProto.INT8, TensorProto.UINT8


def graph_of(
    *nodes: onnx.NodeProto,
    given: dict[str, tuple[int, Sequence[int | str]]] | None = None,
    constants: dict[str, np.ndarray] | None = None,
    result: int = FLOAT,
    opset: int = 17,
) -> onnx.ModelProto:
    """A graph from ``x``, FP32 1 x 4 x 8 x 8 unless given otherwise, to ``y``."""
    given = given or {"x": (FLOAT, [1, 4, 8, 8])}
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in given.items()],
        [helper.make_tensor_value_info("y", result, None)],
        [numpy_helper.from_array(numbers, name) for name, numbers in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def node(operator: str, *inputs: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, list(inputs), ["y"], name="planted", **attributes)


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


FRAME: dict[str, tuple[int, Sequence[int | str]]] = {"x": (UINT8, [1, "height", "width", 3])}
AXES: dict[str, tuple[int, Sequence[int | str]]] = {"x": (FLOAT, [1, 4, 8, 8]), "axes": (INT64, [1])}
DOUBLED = {"scales": np.array([1, 1, 2, 2], np.float32)}
ENDS = {"starts": whole(0), "ends": whole(2)}
KERNEL = {"w": np.zeros((4, 4, 3), np.float32)}
STEP = {"scale": np.float32(0.1), "zero": np.int8(0)}
LEVELS: dict[str, tuple[int, Sequence[int | str]]] = {"x": (INT8, [1, 4, 8, 8])}
GRID: dict[str, tuple[int, Sequence[int | str]]] = {"x": (FLOAT, [1, 4, 8, 8]), "grid": (FLOAT, [1, 8, 8, 2])}


def resize(**attributes: Any) -> onnx.ModelProto:
    return graph_of(node("Resize", "x", "", "scales", **attributes), constants=DOUBLED)


def newer_resize(**attributes: Any) -> onnx.ModelProto:
    return graph_of(node("Resize", "x", "", "scales", **attributes), constants=DOUBLED, opset=18)


PLANTED: dict[str, Callable[[], onnx.ModelProto]] = {
    "opset": lambda: graph_of(node("Relu", "x"), opset=26),
    "operator": lambda: graph_of(node("NonZero", "x"), result=INT64),
    "type": lambda: graph_of(node("Relu", "x"), given={"x": (BFLOAT16, [1, 4])}, result=BFLOAT16),
    "uint8-inside": lambda: graph_of(node("Transpose", "x", perm=[0, 3, 1, 2]), given=FRAME, result=UINT8),
    "axes": lambda: graph_of(node("Relu", "x"), given={"x": (FLOAT, [1] * 9)}),
    "constant-value": lambda: graph_of(node("Constant", value_string="x"), result=TensorProto.STRING),
    "shape-of-part": lambda: graph_of(node("Shape", "x", start=1, end=2), result=INT64),
    "squeeze-unknown": lambda: graph_of(node("Squeeze", "x"), given={"x": (FLOAT, [1, "width"])}),
    "axes-computed": lambda: graph_of(node("Unsqueeze", "x", "axes"), given=AXES),
    "slice-axes-computed": lambda: graph_of(node("Slice", "x", "starts", "ends", "axes"), given=AXES, constants=ENDS),
    "reduction-axes-computed": lambda: graph_of(node("ReduceSum", "x", "axes"), given=AXES),
    "resize-mode": lambda: resize(mode="cubic"),
    "resize-coordinates": lambda: resize(coordinate_transformation_mode="tf_crop_and_resize"),
    "resize-rounding": lambda: resize(
        coordinate_transformation_mode="tf_half_pixel_for_nn", nearest_mode="floor"
    ),
    "resize-antialias": lambda: newer_resize(mode="linear", antialias=1),
    "resize-axes": lambda: graph_of(
        node("Resize", "x", "", "scales", axes=[2, 3]), constants={"scales": np.array([2, 2], np.float32)}, opset=18
    ),
    "gridsample-rank": lambda: graph_of(
        node("GridSample", "x", "grid"),
        given={"x": (FLOAT, [1, 4, 8, 8, 8]), "grid": (FLOAT, [1, 8, 8, 8, 3])}, opset=20,
    ),
    "gridsample-mode": lambda: graph_of(node("GridSample", "x", "grid", mode="linear"), given=GRID, opset=20),
    "convolution-rank": lambda: graph_of(node("Conv", "x", "w"), given={"x": (FLOAT, [1, 4, 8])}, constants=KERNEL),
    "pool-rank": lambda: graph_of(
        node("AveragePool", "x", kernel_shape=[2]), given={"x": (FLOAT, [1, 4, 8])}
    ),
    "pool-dilations": lambda: graph_of(node("MaxPool", "x", kernel_shape=[2, 2], dilations=[2, 2])),
    "pool-indices": lambda: graph_of(
        helper.make_node("MaxPool", ["x"], ["y", "indices"], name="planted", kernel_shape=[2, 2])
    ),
    "depth-rank": lambda: graph_of(
        node("DepthToSpace", "x", blocksize=2), given={"x": (FLOAT, ["any", 4, 8])}
    ),
    "pad-wrap": lambda: graph_of(
        node("Pad", "x", "pads", mode="wrap"), constants={"pads": whole(0, 0, 1, 1, 0, 0, 1, 1)}, opset=19
    ),
    "pad-axes": lambda: graph_of(
        node("Pad", "x", "pads", "", "axes"), constants={"pads": whole(1, 1), "axes": whole(2)}, opset=18
    ),
    "scale-computed": lambda: graph_of(
        node("QuantizeLinear", "x", "scale"),
        given={"x": (FLOAT, [1, 4, 8, 8]), "scale": (FLOAT, [])}, result=UINT8,
    ),
    "int8-weights": lambda: graph_of(
        node("DequantizeLinear", "w", "scale", "zero", axis=0), constants=STEP | {"w": np.zeros((4, 4, 3, 3), np.int8)}
    ),
    "zero-point": lambda: graph_of(
        node("DequantizeLinear", "x", "scale", "zero"), given=LEVELS, constants=STEP | {"zero": np.int8(3)}
    ),
}  # fmt: skip
RULE_OF = {rule.name: rule for rule in RULES}


def test_no_way_is_left_out() -> None:
    assert set(PLANTED) == {"opset", "operator", "type", *RULE_OF}


@pytest.mark.parametrize("name", PLANTED)
def test_what_a_parser_cannot_read_is_noticed(name: str) -> None:
    found = [each for each in lint(PLANTED[name]()) if each.rule == name]
    rule = RULE_OF.get(name)
    concerned = [
        parser.name
        for parser in PARSERS
        if rule is None or rule.before is None or parser.version < rule.before
    ]
    assert [each.version for each in found] == concerned
    assert concerned[0] == "8.6"
    assert {each.node for each in found} == {"all" if name == "opset" else "planted"}
    assert all(each.reason and each.source for each in found)


READ = {
    "a cast at the border": graph_of(
        helper.make_node("Cast", ["x"], ["real"], to=FLOAT), node("Cast", "real", to=UINT8), given=FRAME, result=UINT8
    ),
    "the shape of a cast": graph_of(
        helper.make_node("Cast", ["x"], ["real"], to=FLOAT), node("Shape", "real"), given=FRAME, result=INT64
    ),
    "64 bits, which 8.6 narrows": graph_of(node("Add", "x", "x"), given={"x": (INT64, [1])}, result=INT64),
    "reflection": graph_of(
        node("Pad", "x", "pads", mode="reflect"), constants={"pads": whole(0, 0, 1, 1, 0, 0, 1, 1)}
    ),
    "a squeeze of known sizes": graph_of(node("Squeeze", "x"), given={"x": (FLOAT, [1, 4])}),
    "INT8 behind a scale": graph_of(node("DequantizeLinear", "x", "scale", "zero"), given=LEVELS, constants=STEP),
    "one axis of a slice": graph_of(
        node("Slice", "x", "starts", "ends", "axes"), constants=ENDS | {"axes": whole(2)}
    ),
    "a bilinear sample": graph_of(node("GridSample", "x", "grid", mode="bilinear"), given=GRID),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_what_all_can_read_passes(name: str) -> None:
    assert lint(READ[name]) == []


def test_a_middle_of_uint8_is_noticed() -> None:
    """Casts to UINT8 and back within the network: of no input and no output."""
    graph = graph_of(
        helper.make_node("Cast", ["x"], ["small"], name="down", to=UINT8),
        helper.make_node("Cast", ["small"], ["y"], name="up", to=FLOAT),
    )
    assert {(each.node, each.rule) for each in lint(graph)} == {
        ("down", "uint8-inside"),
        ("up", "uint8-inside"),
    }


def test_the_versions_are_those_that_engines_are_built_for() -> None:
    assert tuple(parser.version for parser in PARSERS) == tuple(
        version for rule in _RULES if rule.target == "tensorrt" for version in rule.checked
    )
    assert [parser.name for parser in parsers_since("10.16")] == ["10.16", "11.4"]


@pytest.mark.parametrize("name", SHIPPED)
def test_every_version_reads_every_shipped_graph(name: str) -> None:
    bundle = open_bundle(SHIPPED_BUNDLES / name)
    for graph in bundle.manifest.graphs:
        assert lint(onnx.load(bundle.graph_path(graph))) == []


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("fused_sums", [False, True])
def test_graphs_in_int8_are_read(name: GraphName, fused_sums: bool) -> None:
    assert lint(quantised_graph(shipped_graph(name), scales(), fused_sums=fused_sums)) == []


@pytest.mark.parametrize("name", GRAPHS)
def test_int8_beside_fp16_is_read_since_10_3(name: GraphName) -> None:
    graph = quantised_graph(shipped_graph(name), scales(), unquantised="fp16")
    assert {(each.version, each.rule) for each in lint(graph)} == {("8.6", "opset"), ("8.6", "int8-weights")}
    assert lint(graph, parsers_since("10.3")) == []


class _Unreadable(RealtimeNetwork):
    """A network with an operator that no parser has."""

    def magnify_pixels(self, frame_px: Any, reference_px: Any, amplification: Any) -> Any:
        return super().magnify_pixels(frame_px, reference_px, amplification) + frame_px.sum().isinf()


def test_export_refuses_what_the_oldest_cannot_read(tmp_path: Path) -> None:
    config = RealtimeConfig(decoder_blocks=1, decoder_channels=16, texture_channels=8, shape_channels=8)
    allowed = AmplificationRange(minimum=1, maximum=20)
    source = NetworkSource("odd", _Unreadable(config).eval(), False, "0" * 64, allowed)
    with pytest.raises(
        ExportFault, match=r"odd, the pairwise graph: node isinf\.1 \(IsInf\): TensorRT 8\.6 cannot read"
    ):
        write_bundle(source, None, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_what_each_version_reads(run_here: Callable[..., Done], tmp_path: Path) -> None:
    done = run_here("lint", "realtime")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["graph", "8.6", "10.3", "10.13", "10.16", "11.4"]
    assert [line.split() for line in lines[1:]] == [[graph, *["reads"] * 5] for graph in GRAPHS]

    onnx.save(PLANTED["shape-of-part"](), tmp_path / "odd.onnx")
    done = run_here("lint", tmp_path / "odd.onnx")
    assert done.returncode == 1
    assert "odd.onnx: not every TensorRT reads odd: export the bundle again" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["odd", "1", "1", "reads", "reads", "reads"]
    assert "odd: planted (Shape), under 8.6, 10.3: the parser passes over start and end" in done.stdout
    assert run_here("lint", tmp_path / "odd.onnx", "--since", "10.13").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ("none.onnx",),
            "none.onnx: cannot be read (no such file or directory): name a bundle, or an ONNX file",
        ),
        (("text.onnx",), "text.onnx: cannot be read (not an ONNX graph)"),
        (("empty.onnx",), "empty.onnx: holds no nodes"),
        (("none",), "none: no manifest.json there"),
        (("realtime", "--since", "9"), "--since 9: choose from 8.6, 10.3"),
    ],
)
def test_what_is_no_graph_is_refused(
    arguments: tuple[str, ...],
    complaint: str,
    run_here: Callable[..., Done],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.onnx").write_text("no graph at all\n")
    Path("empty.onnx").write_bytes(b"")
    done = run_here("lint", *arguments)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_a_finding_names_node_operator_version_and_reason() -> None:
    found = LintFinding("8.6", "shape.1", "Shape", "it passes over start", "its importers", "shape-of-part")
    assert str(found) == "node shape.1 (Shape): TensorRT 8.6 cannot read it: it passes over start"
