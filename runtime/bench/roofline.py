"""Rooflines: the least that a stage must compute and move, the shortest time for that, and the share that is
reached.

The bound of a stage is the longer of its operations at the peak of their precision and its bytes at the peak of the
memory (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). A stage has one only where its work can be
stated.

Operations are those of the convolutions, two for a multiply-accumulate, each in the precision in which the engine
runs it. Bytes are what crosses memory if every convolution and every warp is one kernel, into which all between is
fused for nothing: each reads its inputs and its weights once and writes its output once, a sum behind a convolution
reads the other term, and the frames and the picture cross once, in 8 bits. A cache larger than an activation (of full
HD: 17 MB in FP16) could save more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tremorscope.runtime.bench.peaks import Peaks
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


Limit = Literal["compute", "memory"]


@dataclass(frozen=True)
class Bound:
    """Time of a stage and its bound on this device."""

    stage: str
    """Stage, by its key in `runtime.bench.report.BOUNDED`."""
    measured_ms: float
    """Median."""
    bound_ms: float
    limit: Limit
    """Resource that sets the bound."""
    gflop: float
    megabytes: float
    peaks: str
    """Device of the peaks."""

    @property
    def share(self) -> float:
        """Share of the roofline that is reached; 1 is all of it."""
        return self.bound_ms / self.measured_ms if self.measured_ms else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "share": self.share}


def bound_ms(cost: StageCost, peaks: Peaks) -> tuple[float, Limit]:
    """Shortest time for a cost in ms, and the resource that sets it; precisions run one after the other."""
    compute_s = sum(flops / peaks.flops[precision] for precision, flops in cost.flops.items())
    memory_s = cost.nbytes / peaks.bandwidth_bytes_s
    return (1e3 * compute_s, "compute") if compute_s >= memory_s else (1e3 * memory_s, "memory")


def bound(stage: str, measured_ms: float, cost: StageCost, peaks: Peaks) -> Bound:
    """Bound of a stage that took ``measured_ms``."""
    least_ms, limit = bound_ms(cost, peaks)
    return Bound(stage, measured_ms, least_ms, limit, cost.total_flops / 1e9, cost.nbytes / 1e6, peaks.of)


@dataclass(frozen=True)
class Roofline:
    """All stages that have a bound."""

    bounds: tuple[Bound, ...] = ()
    processor: Peaks | None = None
    """Measured peaks of the processor."""
    gpu: Peaks | None = None
    """Peaks of the GPU from the table; None where no GPU computes, or the table does not have it."""
    missing: str = ""
    """Reason why the network's step has no bound; empty where it has one."""
    meter_noise_px: tuple[float, float] | None = None
    """Standard deviation that noise of a grey level leaves in a region measured, and its Cramer-Rao bound."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bounds": [each.as_json() for each in self.bounds],
            "processor": asdict(self.processor) if self.processor else None,
            "gpu": asdict(self.gpu) if self.gpu else None,
            "missing": self.missing,
            "meter_noise_px": self.meter_noise_px,
        }
