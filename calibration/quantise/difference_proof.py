"""INT8 with subtracted features instead of subtracted pixels, for comparison alone.

Only the motion's encoding differs: frame and reference are encoded separately, each encoding is rounded to INT8, as in
an engine that keeps the reference's features, and the two are subtracted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir
import torch
from torch.nn import functional as F

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.export.graphs.layers import SHAPE_ENCODER, close_graph
from tremorscope.export.graphs.qdq import LEVELS


def subtracting_features(graph: onnx.ModelProto, photographs: Sequence[Picture]) -> onnx.ModelProto:
    """The same pairwise graph, with two INT8 encodings subtracted instead of the pixels.

    Args:
        graph: a pairwise step graph of the realtime network, in INT8 or not.
        photographs: u8[H, W, 3] each; the largest value of their encodings becomes the end of the INT8 range.

    Raises:
        CalibrationFault: the graph encodes no difference of pixels.
    """
    model = ir.from_proto(graph)
    encoder = next((n for n in model.graph if n.op_type == "Conv" and _is_shape_encoder(n)), None)
    divide = _producer(encoder.inputs[0], "Div") if encoder is not None else None
    subtract = _producer(divide.inputs[0], "Sub") if divide is not None else None
    if encoder is None or divide is None or subtract is None or encoder.inputs[1] is None:
        raise CalibrationFault(
            "the graph encodes no difference of pixels", remedy="leave the proof out with --no-proof"
        )
    kernels = encoder.inputs[1].const_value
    assert kernels is not None
    constants = {
        "proof.half": np.float32(0.5),
        "proof.scale": np.float32(_largest_encoding(kernels.numpy(), photographs) / LEVELS),
        "proof.zero": np.int8(0),
    }
    values = {name: _constant(model.graph, name, np.asarray(number)) for name, number in constants.items()}
    encodings = []
    for name, pixels in zip(("frame", "reference"), subtract.inputs, strict=True):
        scaled = _add(model.graph, "Div", [pixels, divide.inputs[1]], f"proof.{name}.scaled")
        centred = _add(model.graph, "Sub", [scaled, values["proof.half"]], f"proof.{name}.centred")
        encoded = _add(
            model.graph, "Conv", [centred, *encoder.inputs[1:]], f"proof.{name}.encoded", encoder.attributes
        )
        scale = [values["proof.scale"], values["proof.zero"]]
        rounded = _add(model.graph, "QuantizeLinear", [encoded, *scale], f"proof.{name}.q")
        encodings.append(_add(model.graph, "DequantizeLinear", [rounded, *scale], f"proof.{name}.dq"))
    motion = _add(model.graph, "Sub", list(encodings), "proof.motion")
    encoder.outputs[0].replace_all_uses_with(motion)
    model.graph.remove(encoder, safe=True)
    return close_graph(model)


def _is_shape_encoder(node: ir.Node) -> bool:
    weights = node.inputs[1]
    return weights is not None and SHAPE_ENCODER in (weights.name or "")


def _producer(value: ir.Value | None, operator: str) -> ir.Node | None:
    node = value.producer() if value is not None else None
    return node if node is not None and node.op_type == operator else None


def _largest_encoding(kernels: np.ndarray, photographs: Sequence[Picture]) -> float:
    """Largest magnitude in the encodings of whole pictures; the stride is immaterial."""
    weights = torch.from_numpy(np.array(kernels))
    stride = max(1, weights.shape[-1] // 2)
    largest = 0.0
    for photograph in photographs:
        picture = (
            torch.from_numpy(np.ascontiguousarray(photograph)).permute(2, 0, 1)[None].float() / 255.0 - 0.5
        )
        largest = max(largest, float(F.conv2d(picture, weights, stride=stride).abs().max()))
    return largest


def _constant(graph: ir.Graph, name: str, number: np.ndarray) -> ir.Value:
    value = ir.Value(name=name, const_value=ir.tensor(number, name=name))
    value.dtype, value.shape = ir.DataType.from_numpy(number.dtype), ir.Shape(number.shape)
    graph.register_initializer(value)
    return value


def _add(
    graph: ir.Graph, operator: str, operands: Sequence[ir.Value | None], name: str, attributes: object = None
) -> ir.Value:
    node = ir.Node("", operator, list(operands), list(attributes.values()) if attributes else (), name=name)  # type: ignore[attr-defined]
    node.outputs[0].name = name
    graph.append(node)
    return node.outputs[0]
