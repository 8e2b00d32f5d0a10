"""Parts of a step graph that may be computed in less than FP32, found by the names of its convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import onnx
import onnx_ir as ir
from numpy.typing import NDArray
from onnx_ir.passes.common import ShapeInferencePass, TopologicalSortPass

from tremorscope.export.errors import ExportFault
from tremorscope.export.graphs.tidy import layer_name, tidy
from tremorscope.runtime.engines.tensorrt.plan import EXACT

TEXTURE_ENCODER, SHAPE_ENCODER = "texture_encoder", "shape_encoder"


def open_graph(graph: onnx.ModelProto) -> ir.Model:
    """A copy of a step graph to rewrite, every value with its type.

    Raises:
        ExportFault: it is not of a network with linear encoders, or is not in FP32.
    """
    model = ir.from_proto(tidy(graph))
    ShapeInferencePass()(model)
    reduced = any(
        node.op_type in ("QuantizeLinear", "DequantizeLinear")
        or (
            node.op_type == "Conv"
            and node.inputs[1] is not None
            and node.inputs[1].dtype != ir.DataType.FLOAT
        )
        for node in model.graph
    )
    if reduced:
        raise ExportFault("the graph is not in FP32", remedy="start from a bundle in FP32")
    if not {TEXTURE_ENCODER, SHAPE_ENCODER} < convolutions(model.graph).keys():
        raise ExportFault(
            "the graph is not of the realtime network",
            remedy="FP16 and INT8 are for that; keep this one in FP32",
        )
    return model


def close_graph(model: ir.Model) -> onnx.ModelProto:
    """The graph as ONNX, topologically sorted, without unused initialisers, validated by ONNX's checker."""
    TopologicalSortPass()(model)
    for name in [name for name, value in model.graph.initializers.items() if not value.uses()]:
        del model.graph.initializers[name]
    graph = ir.to_proto(model)
    del graph.graph.value_info[:]  # the checker infers all types again
    onnx.checker.check_model(graph, full_check=True)
    return graph


def convolutions(graph: ir.Graph) -> dict[str, ir.Node]:
    """The network's convolutions by their module's name, in order of computation."""
    return {name: node for node in graph if (name := layer_name(node)) is not None}


def decoder_convolutions(graph: ir.Graph) -> dict[str, ir.Node]:
    """Convolutions behind the encoders, such as ``decoder.0``, ``decoder.1.conv1`` and ``head.conv``."""
    encoders = (TEXTURE_ENCODER, SHAPE_ENCODER)
    return {name: node for name, node in convolutions(graph).items() if name not in encoders}


def rounded_by_channel(convolution: ir.Node) -> bool:
    """True where a CPU may round what a convolution gives to 8 bits, each channel in steps of its own.

    That is what joins the residual stream, and a head of two layers: its residual displacements are small, and its
    weights and mask decide between what was measured. A head that gives displacement and colours themselves is not.
    """
    return any(use.node.op_type in ("Add", "Split") for use in convolution.outputs[0].uses())


def decoder_layers(graph: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the decoder's convolutions, in order of computation.

    Raises:
        ExportFault: as `open_graph`.
    """
    return tuple(decoder_convolutions(open_graph(graph).graph))


def reduced_region(graph: ir.Graph) -> set[ir.Node]:
    """Nodes for which FP16 is precise enough: the texture's encoder and the decoder.

    Excluded: the pixel difference, its encoding, gain and measurements on it (products of small numbers underflow in
    FP16, and errors accumulate in a filter's state); and everything behind the decoder's last convolution
    (coordinates, which FP16 resolves to half a pixel at full HD, and the composition of the picture).
    """
    ends = [node for name, node in convolutions(graph).items() if name != SHAPE_ENCODER]
    return _reached(ends, ir.Node.successors) & _reached(ends, ir.Node.predecessors)


def mark_exact(graph: ir.Graph, region: set[ir.Node]) -> None:
    """Mark all nodes outside a region by name as FP32, for builders that choose types."""
    for node in graph:
        if node not in region:
            node.name = f"{EXACT}{node.name}"


def _reached(starts: Iterable[ir.Node], next_of: Callable[[ir.Node], Iterable[ir.Node]]) -> set[ir.Node]:
    """Given nodes and all that can be reached from them."""
    todo = list(starts)
    found: set[ir.Node] = set()
    while todo:
        node = todo.pop()
        if node not in found:
            found.add(node)
            todo += next_of(node)
    return found


def constant(graph: ir.Graph, name: str, numbers: NDArray[np.generic]) -> ir.Value:
    """The initializer of a graph with that name, made if it is not there."""
    known = graph.initializers.get(name)
    if known is not None:
        return known
    value = ir.Value(name=name, const_value=ir.tensor(numbers, name=name))
    value.dtype, value.shape = ir.DataType.from_numpy(numbers.dtype), ir.Shape(numbers.shape)
    graph.register_initializer(value)
    return value
