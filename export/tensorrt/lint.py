"""Static check of a graph against the ONNX parser of each TensorRT version, without TensorRT."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from tremorscope.export.errors import ExportFault
from tremorscope.export.tensorrt.parser_rules import RULES
from tremorscope.export.tensorrt.support import PARSERS, Parser

_NAMES = {ir.DataType.FLOAT: "FP32", ir.DataType.FLOAT16: "FP16", ir.DataType.BFLOAT16: "BF16"}


@dataclass(frozen=True)
class LintFinding:
    """Reason why one TensorRT version cannot read one node."""

    version: str
    node: str
    operator: str
    reason: str
    source: str
    rule: str

    def __str__(self) -> str:
        """One line: node, operator, version, reason."""
        return f"node {self.node} ({self.operator}): TensorRT {self.version} cannot read it: {self.reason}"


def lint(graph: onnx.ModelProto, parsers: tuple[Parser, ...] = PARSERS) -> list[LintFinding]:
    """Everything in a graph that one of the parsers cannot read, by node in order, the oldest version first."""
    model = ir.from_proto(graph)
    ShapeInferencePass()(model)
    opset = model.opset_imports.get("", 0)
    found = [each for parser in parsers for each in _of_opset(opset, parser)]
    for node in model.graph:
        for parser in parsers:
            found += _of_types(node, opset, parser)
            found += _of_rules(node, parser)
    return found


def check_readable(graph: onnx.ModelProto, what: str, parsers: tuple[Parser, ...] = PARSERS) -> None:
    """Refuse a graph that one of the parsers cannot read.

    Args:
        graph: to check.
        what: name of the graph in the message.
        parsers: that must be able to read it.

    Raises:
        ExportFault: one cannot; the first reason is named.
    """
    found = lint(graph, parsers)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ExportFault(
            f"{what}: {found[0]}{more}",
            remedy="build the network of operators that it reads; tremorscope lint shows all that it does not",
        )


def parsers_since(version: str) -> tuple[Parser, ...]:
    """The parsers of a version and of all newer ones."""
    names = [parser.name for parser in PARSERS]
    return PARSERS[names.index(version) :]


def _of_opset(opset: int, parser: Parser) -> Iterator[LintFinding]:
    oldest, newest = parser.opsets
    if not oldest <= opset <= newest:
        reason = f"it is of opset {opset}, and {oldest} to {newest} are read"
        yield LintFinding(parser.name, "all", "graph", reason, "docs/tensorrt.md", "opset")


def _of_types(node: ir.Node, opset: int, parser: Parser) -> Iterator[LintFinding]:
    def finding(reason: str, rule: str) -> LintFinding:
        return LintFinding(parser.name, node.name or "?", node.op_type, reason, parser.source, rule)

    allowed = None if node.domain else parser.types_of(node.op_type)
    if allowed is None:
        yield finding(
            f"{node.domain or 'ONNX'}'s {node.op_type} is not in its table of operators", "operator"
        )
        return
    for value in _data_of(node, opset):
        name = _name_of(value.dtype)
        if parser.casts_down.get(name, name) not in allowed:
            yield finding(f"{value.name} is of {name}, which this operator is not listed for", "type")
    if node.op_type == "Cast" and _name_of(node.outputs[0].dtype) not in _with_narrowed(allowed, parser):
        yield finding(f"it casts to {_name_of(node.outputs[0].dtype)}", "type")


def _with_narrowed(allowed: frozenset[str], parser: Parser) -> set[str]:
    return {*allowed, *(wide for wide, narrow in parser.casts_down.items() if narrow in allowed)}


def _data_of(node: ir.Node, opset: int) -> list[ir.Value]:
    """The first input and those of the same ONNX type variable; inputs that only parametrise a node are left out."""
    formal = onnx.defs.get_schema(node.op_type, opset).inputs
    kinds = [formal[min(index, len(formal) - 1)].type_str for index in range(len(node.inputs))]
    return [
        value
        for value, kind in zip(node.inputs, kinds, strict=True)
        if value is not None and kind == kinds[0]
    ]


def _name_of(kind: ir.DataType | None) -> str:
    return "a type that is not known" if kind is None else _NAMES.get(kind, kind.name)


def _of_rules(node: ir.Node, parser: Parser) -> Iterator[LintFinding]:
    for rule in RULES:
        holds = rule.before is None or parser.version < rule.before
        if holds and (not rule.operators or node.op_type in rule.operators) and rule.broken(node):
            yield LintFinding(
                parser.name, node.name or "?", node.op_type, rule.reason, rule.source, rule.name
            )
