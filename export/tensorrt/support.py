"""Table of the operators that the ONNX parser of each TensorRT takes, with the types of their data.

Read in the parser's own pages, docs/operators.md of github.com/onnx/onnx-tensorrt, as it stood for the release that
each table names; where a release's own page was not at hand, the nearest before it and the changelog between. An
operator that is missing here is refused: it is not supported, or nobody has looked. What a page says in its column of
restrictions, and what its importers do besides, is in `export.tensorrt.parser_rules`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tremorscope.runtime.engines.tensorrt.plan import Version, opsets_read

Types = frozenset[str]


def _table(*rows: tuple[str, str]) -> Mapping[str, Types]:
    return {operator: frozenset(types.split()) for types, operators in rows for operator in operators.split()}


_UNTIL_8_6 = _table(
    ("FP32 FP16 INT32", "Abs Add DepthToSpace Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul "
                        "Neg Range SpaceToDepth Sub Sum"),
    ("FP32 FP16", "Ceil Cos Erf Exp Floor GridSample Log MatMul Pow QuantizeLinear Reciprocal ReduceL1 ReduceL2 "
                  "ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Resize Sin Softmax Sqrt"),
    ("FP32 FP16 INT8", "Clip Conv ConvTranspose Elu Gemm GlobalAveragePool HardSigmoid HardSwish LeakyRelu MaxPool "
                       "PRelu Relu Round Sigmoid Softplus Tanh"),
    ("FP32 FP16 INT8 INT32", "AveragePool Pad"),
    ("FP32 FP16 INT32 BOOL", "Expand Flatten Split Tile Where"),
    ("FP32 FP16 INT32 INT8 BOOL", "Concat Constant Gather GatherElements Identity Reshape Shape Slice Squeeze "
                                  "Transpose Unsqueeze"),
    ("FP32 FP16 INT32 INT8 UINT8 BOOL", "Cast"),
    ("INT8", "DequantizeLinear"),
    ("BOOL", "And Not Or Xor"),
)  # fmt: skip
_UNTIL_10_3 = _table(
    ("FP32 FP16 INT32 INT64", "Abs DepthToSpace Equal Range SpaceToDepth Mean"),
    ("FP32 FP16 INT32 INT64 INT8", "Add Div Greater GreaterOrEqual Less LessOrEqual Max Min Mod Mul Neg Pad ReduceL1 "
                                   "ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu "
                                   "Sub Sum"),
    ("FP32 FP16", "Floor GridSample HardSigmoid QuantizeLinear Resize"),
    ("FP32 FP16 INT8", "AveragePool Ceil Clip Conv ConvTranspose Cos Elu Erf Exp Gemm GlobalAveragePool HardSwish "
                       "LeakyRelu Log MatMul MaxPool Pow PRelu Reciprocal Round Sigmoid Sin Softmax Softplus Sqrt "
                       "Tanh"),
    ("FP32 FP16 INT32 INT64 BOOL", "Expand Flatten Split Tile"),
    ("FP32 FP16 INT32 INT64 INT8 BOOL", "Concat Constant Gather GatherElements Identity Reshape Shape Slice Squeeze "
                                        "Transpose Unsqueeze Where"),
    ("FP32 FP16 INT32 INT64 INT8 UINT8 BOOL", "Cast"),
    ("INT8", "DequantizeLinear"),
    ("BOOL", "And Not Or Xor"),
)  # fmt: skip
_SINCE_10_13 = _table(
    ("FP32 FP16 INT32 INT64", "Abs Add DepthToSpace Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod "
                              "Mul Neg Pad Pow Range ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd "
                              "ReduceSum ReduceSumSquare Relu SpaceToDepth Sub Sum"),
    ("FP32 FP16", "AveragePool Ceil Clip Conv ConvTranspose Cos Elu Erf Exp Floor Gemm GlobalAveragePool GridSample "
                  "HardSigmoid HardSwish LeakyRelu Log MatMul MaxPool PRelu QuantizeLinear Reciprocal Resize Round "
                  "Sigmoid Sin Softmax Softplus Sqrt Tanh"),
    ("FP32 FP16 INT32 INT64 BOOL", "Concat Constant Expand Flatten Gather GatherElements Identity Reshape Shape "
                                   "Slice Split Squeeze Tile Transpose Unsqueeze Where"),
    ("FP32 FP16 INT32 INT64 UINT8 BOOL", "Cast"),
    ("INT8", "DequantizeLinear"),
    ("BOOL", "And Not Or Xor"),
)  # fmt: skip


@dataclass(frozen=True)
class Parser:
    """The ONNX parser of one TensorRT version."""

    version: tuple[int, int]
    types: Mapping[str, Types]
    """By operator, the types of its first input and of all that must have the same type."""
    casts_down: Mapping[str, str]
    """Types that the parser narrows by itself, with the type that results."""
    source: str

    @property
    def name(self) -> str:
        """Version in words, e.g. ``10.3``."""
        return "{}.{}".format(*self.version)

    @property
    def opsets(self) -> tuple[int, int]:
        """Oldest and newest opset that it reads."""
        return opsets_read("tensorrt", Version(*self.version, 0))

    def types_of(self, operator: str) -> Types | None:
        """Types that the operator computes with; None for an operator that is not in the table."""
        return self.types.get(operator)


PARSERS: tuple[Parser, ...] = (
    # The changelog between page and release adds operators, and narrows none that is listed here.
    Parser((8, 6), _UNTIL_8_6, {"INT64": "INT32", "DOUBLE": "FP32"}, "operators.md for 8.5 GA"),
    Parser((10, 3), _UNTIL_10_3, {"DOUBLE": "FP32"}, "operators.md for 9.2"),
    # No page after 10.15's was at hand.
    Parser((10, 13), _SINCE_10_13, {"DOUBLE": "FP32"}, "operators.md for 10.15"),
    Parser((10, 16), _SINCE_10_13, {"DOUBLE": "FP32"}, "operators.md for 10.15"),
    Parser((11, 4), _SINCE_10_13, {"DOUBLE": "FP32"}, "operators.md for 10.15"),
)
"""Parsers of all versions that engines are built for, the oldest first."""
