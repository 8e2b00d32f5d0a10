"""Each stage beside its roofline: the shortest time in which the device could do it, and the share that is reached.

The bound of a stage is the longer of its operations at the peak of their precision and its bytes at the peak of the
memory (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). A stage has one only where its work can be
stated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from tremorscope.runtime.bench.apart import stages_apart
from tremorscope.runtime.bench.graph_cost import StageCost, graph_cost
from tremorscope.runtime.bench.peaks import Peaks, gpu_peaks
from tremorscope.runtime.bench.processor import processor_peaks
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import Runtime

if TYPE_CHECKING:
    from tremorscope.runtime.bench.result import BenchResult

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

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "bounds": [each.as_json() for each in self.bounds],
            "processor": asdict(self.processor) if self.processor else None,
            "gpu": asdict(self.gpu) if self.gpu else None,
            "missing": self.missing,
        }


def find_roofline(found: BenchResult, runtime: Runtime, threads: int | None) -> Roofline:
    """Bounds of the timed stages; takes some seconds, with nothing else running.

    Raises:
        EngineFault: the processor, or the graph, cannot be run by itself.
    """
    size = FrameSize(width_px=found.width_px, height_px=found.height_px)
    processor = processor_peaks(threads)
    gpu = None
    bounds: list[Bound] = []
    missing = ""
    if runtime.name == "tensorrt":
        gpu = gpu_peaks(found.device.get("gpu"), found.device.get("sm_count"))
    engine = gpu if runtime.name == "tensorrt" else processor
    if engine is None:
        missing = f"the peaks of {found.device.get('gpu') or 'this GPU'} are not known"
    else:
        cost = graph_cost(runtime.bundle, "band" if found.mode == "band" else "pairwise", size)
        bounds.append(bound("network", found.overhead.engine_ms, cost, engine))
    if found.copies.bytes_per_frame and "copy" in found.stages:
        copied = StageCost({}, 2 * found.copies.bytes_per_frame)  # each byte is read and written
        bounds.append(bound("copy", found.stages["copy"].median_ms, copied, processor))
    for stage, taken_ms, cost, on_gpu in stages_apart(size.width_px, size.height_px, runtime.gpu):
        if (peaks := gpu if on_gpu else processor) is not None:
            bounds.append(bound(stage, taken_ms, cost, peaks))
    return Roofline(tuple(bounds), processor, gpu, missing)
