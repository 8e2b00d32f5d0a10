"""Rules beyond the table of types: operators that the parser of a TensorRT version has, but misreads or refuses.

Each rule holds the nodes that break it, the version until which it holds, the reason and its source. Files are those of
github.com/onnx/onnx-tensorrt: ``operators.md`` is docs/operators.md, "8.5's importers" builtin_op_importers.cpp as of
8.5 GA (8.6's changelog names no change to what stands here), "10.15's importers" onnxOpImporters.cpp.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

_MOST_AXES = 8
_UINT8 = ir.DataType.UINT8
_REAL = (ir.DataType.FLOAT, ir.DataType.FLOAT16)


@dataclass(frozen=True)
class Rule:
    """A reason why a parser cannot read a node."""

    name: str
    operators: tuple[str, ...]
    """Operators that the rule is about; empty: all."""
    broken: Callable[[ir.Node], bool]
    reason: str
    source: str
    before: tuple[int, int] | None = None
    """The first version that it no longer holds for; None where it holds for all."""


def _has_attribute(*names: str) -> Callable[[ir.Node], bool]:
    return lambda node: any(name in node.attributes for name in names)


def _text_not_in(name: str, default: str, *known: str) -> Callable[[ir.Node], bool]:
    return lambda node: node.attributes.get_string(name, default) not in known


def _input(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _rank(value: ir.Value | None) -> int | None:
    return None if value is None or value.shape is None else value.shape.rank()


def _rank_not_in(*ranks: int) -> Callable[[ir.Node], bool]:
    return lambda node: _rank(_input(node, 0)) not in ranks


def _computed(*indices: int) -> Callable[[ir.Node], bool]:
    """True for nodes with one of these inputs that is not an initialiser."""
    return lambda node: any(
        value is not None and value.const_value is None
        for value in (_input(node, index) for index in indices)
    )


def _is_eight_bit_inside(node: ir.Node) -> bool:
    """True for nodes with UINT8 inputs or outputs, other than casts of a network input or to a network output."""
    reads = [value for value in node.inputs if value is not None and value.dtype == _UINT8]
    gives = [value for value in node.outputs if value.dtype == _UINT8]
    if node.op_type != "Cast":
        return bool(reads or gives)
    enters = all(value.is_graph_input() and node.outputs[0].dtype in _REAL for value in reads)
    leaves = all(value.is_graph_output() and _type(_input(node, 0)) in _REAL for value in gives)
    return not (enters and leaves)


def _type(value: ir.Value | None) -> ir.DataType | None:
    return None if value is None else value.dtype


def _has_too_many_axes(node: ir.Node) -> bool:
    return any((_rank(value) or 0) > _MOST_AXES for value in (*node.inputs, *node.outputs))


def _squeezes_what_is_unknown(node: ir.Node) -> bool:
    data = _input(node, 0)
    static = data is not None and data.shape is not None and data.shape.is_static()
    return _input(node, 1) is None and "axes" not in node.attributes and not static


def _dilates(node: ir.Node) -> bool:
    return any(number != 1 for number in node.attributes.get_ints("dilations", ()))


def _rounds_so_that_tensorrt_cannot(node: ir.Node) -> bool:
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    if node.attributes.get_string("coordinate_transformation_mode", "half_pixel") == "tf_half_pixel_for_nn":
        return rounding != "round_prefer_floor"
    return rounding not in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")


def _keeps_aspect(node: ir.Node) -> bool:
    policy = node.attributes.get_string("keep_aspect_ratio_policy", "stretch")
    return bool(node.attributes.get_int("antialias", 0)) or policy != "stretch"


def _zero_point_is_off(node: ir.Node) -> bool:
    zero = _input(node, 2)
    if zero is None:
        return False
    if zero.const_value is None or zero.dtype != ir.DataType.INT8:
        return True
    return bool(np.any(zero.const_value.numpy()))


_POOLS, _CONVOLUTIONS, _QDQ = (
    ("AveragePool", "MaxPool"),
    ("Conv", "ConvTranspose"),
    ("QuantizeLinear", "DequantizeLinear"),
)
_REDUCTIONS = tuple(
    f"Reduce{kind}" for kind in ("L1", "L2", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)

RULES: tuple[Rule, ...] = (
    Rule("uint8-inside", (), _is_eight_bit_inside,
         "UINT8 may only enter and leave the network, by a cast to or from floating point",
         "operators.md for 9.2 and 10.15; Cast in 8.5's importers"),
    Rule("axes", (), _has_too_many_axes, f"tensors have {_MOST_AXES} axes at most", "nvinfer1::Dims::MAX_DIMS"),
    Rule("constant-value", ("Constant",), _has_attribute("sparse_value", "value_string", "value_strings"),
         "it knows no such value", "operators.md for 10.15; Constant in 8.5's importers"),
    Rule("shape-of-part", ("Shape",), _has_attribute("start", "end"),
         "the parser passes over start and end and gives the sizes of all axes",
         "Shape in 8.5's and 9.0's importers; 10.6's read them, which since 10.4 did is not known", before=(10, 6)),
    Rule("squeeze-unknown", ("Squeeze",), _squeezes_what_is_unknown,
         "axes are left out and the sizes are not known when it is parsed", "Squeeze in 8.4's and 10.6's importers"),
    Rule("axes-computed", ("Squeeze", "Unsqueeze"), _computed(1), "axes are computed",
         "operators.md for 8.5 and 9.2; Changelog.md: dynamic axes since 10.7", before=(10, 7)),
    Rule("slice-axes-computed", ("Slice",), _computed(3), "axes are computed",
         "operators.md for 8.5 and 9.2; Changelog.md: tensor axes since 10.3", before=(10, 3)),
    Rule("reduction-axes-computed", _REDUCTIONS, _computed(1), "axes are computed", "operators.md for 10.15"),
    Rule("resize-mode", ("Resize",), _text_not_in("mode", "nearest", "nearest", "linear"),
         "it has nearest and linear alone", "operators.md for 8.5, 9.2 and 10.15"),
    Rule("resize-coordinates", ("Resize",),
         _text_not_in("coordinate_transformation_mode", "half_pixel", "half_pixel", "pytorch_half_pixel",
                      "tf_half_pixel_for_nn", "asymmetric", "align_corners"),
         "it does not know this transformation of coordinates", "operators.md for 8.5, 9.2 and 10.15"),
    Rule("resize-rounding", ("Resize",), _rounds_so_that_tensorrt_cannot,
         "it does not know this rounding of coordinates", "operators.md for 8.5; Resize in 8.5's importers"),
    Rule("resize-antialias", ("Resize",), _keeps_aspect, "it neither smooths nor keeps the aspect",
         "operators.md for 10.15; Resize in 10.6's onnxOpCheckers.cpp"),
    Rule("resize-axes", ("Resize",), _has_attribute("axes"), "older parsers pass over axes, newer want all of them",
         "Resize in 8.5's importers; operators.md for 10.15"),
    Rule("gridsample-rank", ("GridSample",), _rank_not_in(4), "the input has other than four axes",
         "operators.md for 10.15; GridSample in 8.5's importers"),
    Rule("gridsample-mode", ("GridSample",), _text_not_in("mode", "bilinear", "nearest", "bilinear", "bicubic"),
         "the parser knows opset 16's names, and takes others (opset 20's linear and cubic) for nearest",
         "GridSample in 8.5's and 10.15's importers"),
    Rule("convolution-rank", _CONVOLUTIONS, _rank_not_in(4, 5), "it convolves along two or three axes alone",
         "operators.md for 8.4; Conv in 8.5's importers"),
    Rule("pool-rank", _POOLS, _rank_not_in(4, 5), "it pools along two or three axes alone",
         "operators.md for 8.5, 9.2 and 10.15"),
    Rule("pool-dilations", _POOLS, _dilates, "dilations are not 1",
         "operators.md for 10.15; 10.6's onnxOpCheckers.cpp"),
    Rule("pool-indices", ("MaxPool",), lambda node: len(node.outputs) > 1, "it gives no indices",
         "operators.md for 8.5, 9.2 and 10.15"),
    Rule("depth-rank", ("DepthToSpace", "SpaceToDepth"), _rank_not_in(4), "the input has other than four axes",
         "SpaceToDepth in 8.5's importers"),
    Rule("pad-wrap", ("Pad",), _text_not_in("mode", "constant", "constant", "reflect", "edge"),
         "it does not know this way of padding", "Changelog.md: edge and reflect since 8.2, wrap since 10.0",
         before=(10, 0)),
    Rule("pad-axes", ("Pad",), lambda node: _input(node, 3) is not None, "it takes no axes",
         "Changelog.md: tensor axes since 10.4", before=(10, 4)),
    Rule("scale-computed", _QDQ, _computed(1), "the scale is no initialiser",
         "operators.md for 7.0; TensorRT developer guide, working with quantized types"),
    Rule("int8-weights", ("DequantizeLinear",), lambda node: not _computed(0)(node),
         "weights must be in floating point, before a Q/DQ pair",
         "TensorRT developer guide for 8.6, quantized weights; issue 2163 of github.com/NVIDIA/TensorRT",
         before=(10, 0)),
    Rule("zero-point", _QDQ, _zero_point_is_off, "the zero point is not 0 in INT8",
         "operators.md for 8.5, 9.2 and 10.15"),
)  # fmt: skip
