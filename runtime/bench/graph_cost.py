"""The least that a network's step must compute and move, from its graph.

Operations are those of the convolutions, two for a multiply-accumulate, each in the precision in which the engine
runs it. Bytes are what crosses memory if every convolution and every warp is one kernel, into which all between is
fused for nothing: each reads its inputs and its weights once and writes its output once, a sum behind a convolution
reads the other term, and the frames and the picture cross once, in 8 bits. A cache larger than an activation (of full
HD: 17 MB in FP16) could save more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName, Precision
from tremorscope.runtime.engines.onnx.file import convolution_precisions
from tremorscope.runtime.engines.onnx.profile import Layer, profile

_SMALL = FrameSize(width_px=256, height_px=256)
"""Largest size at which the graph is run; the cost of larger frames is scaled by their number of pixels."""
_ITEM_BYTES: Mapping[Precision, int] = {"fp32": 4, "fp16": 2, "int8": 1}
_WARP = "GridSample"


@dataclass(frozen=True)
class StageCost:
    """Least operations and bytes of one step of a stage."""

    flops: Mapping[Precision, float]
    """Operations by the precision in which they are done."""
    nbytes: float
    """Bytes to and from memory."""

    @property
    def total_flops(self) -> float:
        """Operations in any precision."""
        return sum(self.flops.values())


def graph_cost(bundle: Bundle, graph: GraphName, size: FrameSize) -> StageCost:
    """Cost of a bundle's step on frames of a size; takes a second or so, in a process of its own.

    Raises:
        BundleFault: the bundle has no such graph.
        EngineFault: it could not be run.
    """
    path = bundle.graph_path(graph)
    manifest = bundle.manifest
    at = manifest.frame_size or min(size, _SMALL, key=_pixels)
    cell_px = manifest.representation.cell_px if manifest.representation else 4
    layers = profile(path, at.width_px, at.height_px, cell_px=cell_px)
    # Not as it was run: a processor has no kernels in FP16, and casts around each.
    precisions = convolution_precisions(path.read_bytes())
    return cost_of(layers, precisions, size, _pixels(size) / _pixels(at))


def cost_of(
    layers: list[Layer], precisions: Mapping[str, Precision], size: FrameSize, scale: float
) -> StageCost:
    """Cost from the layers of a graph that was run on ``1 / scale`` as many pixels as ``size`` has.

    Args:
        layers: in the order in which they ran.
        precisions: of convolutions by name; all else is in FP32.
        size: of the frames.
        scale: how many times as many pixels they have.
    """
    flops: dict[Precision, float] = {}
    activation_bytes = weight_bytes = 0.0
    before: Layer | None = None
    for layer in layers:
        precision = precisions.get(layer.name, "fp32")
        each = _ITEM_BYTES[precision]
        if layer.macs:
            flops[precision] = flops.get(precision, 0.0) + 2 * layer.macs * scale
            activation_bytes += each * (layer.input_items + layer.output_items)
            weight_bytes += each * layer.weight_items
        elif layer.operator == _WARP:
            activation_bytes += each * (layer.input_items + layer.output_items)
        elif before is not None and before.macs and _adds_a_branch(layer, before):
            activation_bytes += _ITEM_BYTES[precisions.get(before.name, "fp32")] * layer.output_items
        before = layer
    frames_bytes = 3 * 3 * _pixels(size)  # frame and reference in, picture out
    return StageCost(flops, activation_bytes * scale + weight_bytes + frames_bytes)


def _adds_a_branch(layer: Layer, before: Layer) -> bool:
    return layer.operator == "Add" and layer.input_items == 2 * layer.output_items == 2 * before.output_items


def _pixels(size: FrameSize) -> int:
    return size.width_px * size.height_px
