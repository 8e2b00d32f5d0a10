"""The part of ONNX's file format that the runtime needs without an ONNX package: types of weights, a small graph.

Fields are those of onnx.proto, coded as protocol buffers are: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

from collections.abc import Iterator

from tremorscope.runtime.engines.interface.manifest import Precision

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_INITIALIZER = 7, 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR = 1, 2, 3, 4
_TENSOR_TYPE, _TENSOR_NAME = 2, 8
_FLOAT, _UINT8, _INT8, _INT32, _FLOAT16 = 1, 2, 3, 6, 10
Value = int | memoryview


def convolution_precisions(content: bytes) -> dict[str, Precision]:
    """Precision of each convolution of a graph by its name: the type in which its weights are stored.

    What is stored in INT8 comes through a DequantizeLinear (Q/DQ).

    Raises:
        ValueError: it is no such file.
    """
    convolutions: list[tuple[str, str]] = []
    makers: dict[str, str] = {}
    types: dict[str, int] = {}
    for number, graph in _fields(memoryview(content)):
        if number != _MODEL_GRAPH or isinstance(graph, int):
            continue
        for kind, part in _fields(graph):
            if kind == _GRAPH_NODE and not isinstance(part, int):
                name, operator, inputs, outputs = _node(part)
                makers |= dict.fromkeys(outputs, operator)
                if operator == "Conv" and len(inputs) > 1:
                    convolutions.append((name, inputs[1]))
            elif kind == _GRAPH_INITIALIZER and not isinstance(part, int):
                stored = dict(_fields(part))
                kind_of = stored.get(_TENSOR_TYPE)
                types[_text(stored.get(_TENSOR_NAME))] = kind_of if isinstance(kind_of, int) else 0
    return {name: _precision(makers.get(weight), types.get(weight)) for name, weight in convolutions}


def _precision(maker: str | None, stored: int | None) -> Precision:
    if maker == "DequantizeLinear":
        return "int8"
    return "fp16" if stored == _FLOAT16 else "fp32"


def _node(node: memoryview) -> tuple[str, str, list[str], list[str]]:
    """Name, operator, inputs and outputs."""
    texts: dict[int, list[str]] = {
        each: [] for each in (_NODE_INPUT, _NODE_OUTPUT, _NODE_NAME, _NODE_OPERATOR)
    }
    for number, value in _fields(node):
        if number in texts:
            texts[number].append(_text(value))
    return "".join(texts[_NODE_NAME]), "".join(texts[_NODE_OPERATOR]), texts[_NODE_INPUT], texts[_NODE_OUTPUT]


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Numbers and values of a message's fields; what they hold is not copied."""
    at, end = 0, len(message)
    while at < end:
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            value, at = _read_varint(message, at)
            yield tag >> 3, value
            continue
        if kind == _BYTES:
            length, at = _read_varint(message, at)
        elif kind in (_FIXED32, _FIXED64):
            length = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"no ONNX file: a field of kind {kind}")
        if at + length > end:
            raise ValueError("no ONNX file: it ends within a field")
        yield tag >> 3, message[at : at + length]
        at += length


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise ValueError("no ONNX file: it ends within a number")


def _text(value: Value | None) -> str:
    return "" if value is None or isinstance(value, int) else bytes(value).decode("utf-8", "replace")


def matrix_product(side: int, kind: str) -> bytes:
    """A graph that multiplies two square matrices, in ``fp32`` or ``int8`` (u8 by s8, added up in 32 bits)."""
    operator, left, right, out = (
        ("MatMul", _FLOAT, _FLOAT, _FLOAT) if kind == "fp32" else ("MatMulInteger", _UINT8, _INT8, _INT32)
    )
    node = _named(1, "a") + _named(1, "b") + _named(2, "y") + _named(4, operator)
    tensors = _field(11, _value("a", left, side)) + _field(11, _value("b", right, side))
    graph = _field(1, node) + _named(2, "product") + tensors + _field(12, _value("y", out, side))
    return _number(1, 8) + _field(7, graph) + _field(8, _number(2, 13))  # IR 8, opset 13


def _value(name: str, element: int, side: int) -> bytes:
    length = _field(1, _number(1, side))
    tensor = _number(1, element) + _field(2, length + length)
    return _named(1, name) + _field(2, _field(1, tensor))


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _named(field: int, value: str) -> bytes:
    return _field(field, value.encode())


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | _BYTES) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
