"""A step graph with the decoder in INT8, in two arrangements of the same scales.

For TensorRT: the inputs of convolutions are quantised, not their outputs. After NVIDIA's TensorRT developer guide,
"Working with quantized types". That guide also quantises the branch that skips a convolution at a residual sum, so
that convolution and sum become one kernel. That costs too much here: the residual stream carries a displacement of up
to 8 cells, one INT8 step of which is 0.3 px, and every block rounds it again. So sums stay in floating point by
default.

For ONNX Runtime on the CPU: its kernels compute a convolution in INT8 only where the output is quantised too, where
input and output are coded alike, and take up a ReLU only where the range begins at zero. So everything is written
without a sign, and what a convolution gives to a sum is quantised as well, in steps of its own for each channel, for a
few channels carry far more than the others; the sums stay in floating point.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

import onnx
import onnx_ir as ir

from tremorscope.export.graphs.half_graph import to_half
from tremorscope.export.graphs.layers import (
    close_graph,
    decoder_convolutions,
    mark_exact,
    open_graph,
    reduced_region,
    rounded_by_channel,
)
from tremorscope.export.graphs.qdq import OFFSET, POSITIVE, Quantiser, chosen_layers, input_of, output_of

Unquantised = Literal["fp32", "fp16"]
"""Type of all tensors that are not INT8."""

_OPSET_OF_HALF_SCALES = 19


def quantised_graph(
    graph: onnx.ModelProto,
    scales: Mapping[str, float],
    layers: Collection[str] | None = None,
    unquantised: Unquantised = "fp32",
    fused_sums: bool = False,
) -> onnx.ModelProto:
    """The same step graph with convolutions of the decoder in INT8, as TensorRT takes them.

    Args:
        graph: a step graph in FP32.
        scales: size of one INT8 step by `export.graphs.qdq.input_of` every layer that is quantised.
        layers: convolutions to quantise; None for all of the decoder.
        unquantised: FP32 makes a graph that every TensorRT reads, with weights in FP32 on the grid of INT8; FP16 one
            of opset 19, whose Q/DQ pairs have FP16 scales, with weights stored as INT8.
        fused_sums: quantise the skip branches of residual sums, too.

    Raises:
        ExportFault: the graph is not of the realtime network or not in FP32, a layer is unknown, or a scale is
            missing or is no positive number.
    """
    if unquantised == "fp16":
        graph = onnx.version_converter.convert_version(graph, _OPSET_OF_HALF_SCALES)
    model = open_graph(graph)
    convolutions = decoder_convolutions(model.graph)
    chosen = chosen_layers(convolutions, layers)
    region = reduced_region(model.graph)
    mark_exact(model.graph, region)
    if unquantised == "fp16":
        to_half(model.graph, region)
    known = {node.inputs[0]: input_of(name) for name, node in convolutions.items()}
    quantiser = Quantiser(model.graph, scales, stores_weights=unquantised == "fp16")
    for name in chosen:
        quantiser.quantise_weights(convolutions[name])
        quantiser.quantise_input(convolutions[name], 0, input_of(name))
    for name in chosen if fused_sums else ():
        for add, index in _sums_with(convolutions[name]):
            skip = add.inputs[1 - index]
            if skip in known:
                quantiser.quantise_input(add, 1 - index, known[skip])
    return close_graph(model)


def quantised_graph_for_cpu(
    graph: onnx.ModelProto, scales: Mapping[str, float], layers: Collection[str] | None = None
) -> onnx.ModelProto:
    """The same step graph with convolutions of the decoder in INT8, as ONNX Runtime's CPU kernels take them.

    A last convolution whose output is displacement and colour of each pixel stays in FP32: its rounding would be seen.

    Args:
        graph: a step graph in FP32.
        scales: size of one INT8 step by `export.graphs.qdq.input_of` every layer that is quantised, and by `output_of`
            every channel of those that are `rounded_by_channel`.
        layers: convolutions that may be quantised; None for all.

    Raises:
        ExportFault: as `quantised_graph`.
    """
    model = open_graph(graph)
    convolutions = decoder_convolutions(model.graph)
    last = next(reversed(convolutions))
    chosen = [
        name
        for name in chosen_layers(convolutions, layers)
        if name != last or rounded_by_channel(convolutions[name])
    ]
    quantiser = Quantiser(model.graph, scales)
    known = {node.inputs[0]: input_of(name) for name, node in convolutions.items()}
    # Before any pair is put in, behind which nobody would see the ReLU.
    codings = {name: POSITIVE if _is_behind_relu(convolutions[name]) else OFFSET for name in chosen}
    for name in chosen:
        node = convolutions[name]
        if rounded_by_channel(node):
            channels = range(_channels(node))
            quantiser.quantise_convolution(
                node, quantiser.steps([output_of(name, each) for each in channels])
            )
        else:
            # A convolution and its ReLU are computed in INT8 only if they end in it, whoever reads them.
            quantiser.quantise_weights(node)
            rectified = next(use.node for use in node.outputs[0].uses()).outputs[0]
            quantiser.quantise_readers(rectified, known[rectified], POSITIVE)
        if not quantiser.reads_a_pair(node):
            quantiser.quantise_input(node, 0, input_of(name), codings[name])
    return close_graph(model)


def quantised_layers(graph: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions that a graph has in INT8, in order of computation."""
    made_by = {output: node.op_type for node in graph.graph.node for output in node.output}
    return tuple(
        node.name
        for node in graph.graph.node
        if node.op_type == "Conv" and made_by.get(node.input[1]) == "DequantizeLinear"
    )


def _sums_with(convolution: ir.Node) -> list[tuple[ir.Node, int]]:
    """The residual sums that a convolution ends in, each with the index of that input."""
    return [(use.node, use.idx) for use in convolution.outputs[0].uses() if use.node.op_type == "Add"]


def _channels(convolution: ir.Node) -> int:
    weights = convolution.inputs[1]
    assert weights is not None
    assert weights.const_value is not None
    return int(weights.const_value.numpy().shape[0])


def _is_behind_relu(convolution: ir.Node) -> bool:
    source = convolution.inputs[0]
    producer = None if source is None else source.producer()
    return producer is not None and producer.op_type == "Relu"
