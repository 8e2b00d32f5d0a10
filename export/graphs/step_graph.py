"""The pairwise step graph: 8-bit frames in, 8-bit frame out, everything between inside one ONNX graph."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from tremorscope.export.graphs.sizes import plain_sizes
from tremorscope.model.networks.families import Network
from tremorscope.runtime.engines.interface.manifest import FrameSize

OPSET = 17
_NATIVE_OPSET = 18
"""Opset of PyTorch's exporter; its graph is then rewritten in the opset that TensorRT 8.6 reads."""
_RESIZE_DEFAULTS_SINCE_18 = {"antialias": 0, "keep_aspect_ratio_policy": b"stretch"}
_TRACING_SIZE_PX = (144, 176)
"""An arbitrary size: the graph is checked at others afterwards."""


class PairwiseStep(nn.Module):
    """Computation of the pairwise graph: cast, network, clamp, round, cast."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, frame: Tensor, reference: Tensor, amplification: Tensor) -> Tensor:
        """Frame and reference u8[1, H, W, 3], amplification f32[1] -> magnified u8[1, H, W, 3]."""
        frame_px = frame.to(torch.float32).permute(0, 3, 1, 2)  # (1, 3, H, W)
        reference_px = reference.to(torch.float32).permute(0, 3, 1, 2)  # (1, 3, H, W)
        magnified_px: Tensor = self.network.magnify_pixels(frame_px, reference_px, amplification)
        return magnified_px.clamp(0.0, 255.0).round().permute(0, 2, 3, 1).to(torch.uint8)


def pairwise_graph(network: Network, size: FrameSize | None) -> onnx.ModelProto:
    """The pairwise step graph of a network, for one frame size or (None) for any.

    Inputs ``frame``, ``reference`` (uint8 1 x H x W x 3, RGB) and ``amplification`` (float32 1); output
    ``magnified`` (uint8 1 x H x W x 3). Where any size goes, H and W are named ``height`` and ``width``.
    """
    height, width = (size.height_px, size.width_px) if size else _TRACING_SIZE_PX
    frame = torch.zeros(1, height, width, 3, dtype=torch.uint8)
    any_size = {1: torch.export.Dim("height", min=16), 2: torch.export.Dim("width", min=16)}
    graph = trace(
        PairwiseStep(network),
        {"frame": frame, "reference": torch.zeros_like(frame), "amplification": torch.ones(1)},
        ("magnified",),
        None if size else (any_size, any_size, None),
    )
    # The frame's own size, which the exporter may have left as a formula of roundings up and down.
    graph.graph.output[0].type.CopyFrom(graph.graph.input[0].type)
    return restate(graph, OPSET)


def trace(
    step: nn.Module,
    inputs: dict[str, Tensor],
    outputs: tuple[str, ...],
    dynamic_shapes: tuple[dict[int, Any] | None, ...] | None,
    translations: Mapping[Any, Callable[..., Any]] | None = None,
) -> onnx.ModelProto:
    """Export a step as an ONNX graph of PyTorch's own opset; ``inputs`` are examples by name, in order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        # It warns of missing torchvision, which nothing here needs.
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        exported = torch.export.export(
            step.eval(),
            tuple(inputs.values()),
            dynamic_shapes=dynamic_shapes,
            # What the exporter cannot prove of roundings up and down, the check at other sizes does.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        program = torch.onnx.export(
            exported,
            dynamo=True,
            verbose=False,
            opset_version=_NATIVE_OPSET,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dynamic_shapes,
            custom_translation_table=dict(translations or {}),
        )
    assert program is not None
    graph: onnx.ModelProto = program.model_proto
    return graph


def restate(graph: onnx.ModelProto, opset: int) -> onnx.ModelProto:
    """The same graph under an older opset, validated by ONNX's checker.

    ONNX's own converter refuses every Pad and Resize from 18 to 17, even those of equal meaning in both. Here the
    differences without effect are removed: empty inputs, and attributes at their defaults. Sizes are rewritten for
    TensorRT (`export.graphs.sizes`).
    """
    constants = {tensor.name: tensor for tensor in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type in ("ReduceMean", "ReduceMax", "ReduceMin"):
            _restate_reduction(node, constants)
        if node.op_type == "Pad" and len(node.input) == 4 and not node.input[3]:
            del node.input[3:]
        if node.op_type == "Resize":
            for attribute in list(node.attribute):
                if onnx.helper.get_attribute_value(attribute) == _RESIZE_DEFAULTS_SINCE_18.get(
                    attribute.name
                ):
                    node.attribute.remove(attribute)
    for entry in graph.opset_import:
        if entry.domain == "":
            entry.version = opset
    graph.ir_version = min(graph.ir_version, 8)
    graph = plain_sizes(graph)
    onnx.checker.check_model(graph, full_check=True)
    return graph


def _restate_reduction(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> None:
    """Turn the axes of a reduction from an input (opset 18) into an attribute (before)."""
    axes = onnx.numpy_helper.to_array(constants[node.input[1]]).tolist()
    del node.input[1:]
    for attribute in list(node.attribute):
        if attribute.name == "noop_with_empty_axes":
            node.attribute.remove(attribute)
    node.attribute.append(onnx.helper.make_attribute("axes", axes))
