"""Times of a run, frame by frame, and the result made from them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from tremorscope.runtime.bench.live import LiveLoop, meter_noise_px, stages_apart
from tremorscope.runtime.bench.peaks import gpu_peaks, processor_peaks
from tremorscope.runtime.bench.power_and_memory import MemoryTrace, peak_bytes, reset_peak
from tremorscope.runtime.bench.result import BenchResult, Copies, Memory, Overhead, Timeline, curve_parts
from tremorscope.runtime.bench.rig import Moment
from tremorscope.runtime.bench.roofline import Bound, Roofline, StageCost, bound, graph_cost
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.cameras.supervision.settings import Drops
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.stage_times import LatencySummary
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.telemetry.load import resident_bytes


class RunTimes:
    """Times and memory of every frame of a run, in memory that is allocated before."""

    def __init__(self, frames: int) -> None:
        self.wanted, self.count = frames, 0
        self.ready_s, self.total_s, self.loop_s, self.engine_s = np.zeros((4, frames))
        self.memory = MemoryTrace(frames)

    def add(self, rig: LiveLoop, info: FrameInfo, loop: Moment, ended_at_s: float) -> None:
        """Record the frame that has just passed the magnifying half of the loop, in the time ``loop``."""
        engine, n = rig.watch.read(), self.count
        began_s = info.captured_s if info.captured_s is not None else info.arrived_s
        self.ready_s[n] = ended_at_s
        self.total_s[n] = ended_at_s - began_s if began_s is not None else 0.0
        self.engine_s[n] = engine.wall_s
        self.loop_s[n] = loop.cpu_s - engine.cpu_s
        self.memory.look(n)
        self.count = n + 1

    def overhead(self, cpu: Mapping[str, LatencySummary]) -> Overhead:
        """Medians over all frames so far; ``cpu`` holds those of the supervisor and of the loop's measuring half."""
        return Overhead(
            engine_ms=1e3 * float(np.median(self.engine_s[: self.count])),
            loop_ms=1e3 * float(np.median(self.loop_s[: self.count])) + cpu["measuring"].median_ms,
            supervision_ms=cpu["supervision"].median_ms,
        )

    def timeline(self, began_s: float) -> Timeline:
        """Frame by frame, from ``began_s`` on the monotonic clock."""
        return Timeline(
            since_s=self.ready_s[: self.count] - began_s,
            step_ms=1e3 * self.engine_s[: self.count],
            total_ms=1e3 * self.total_s[: self.count],
            resident_at=self.memory.frames.copy(),
            resident_bytes=self.memory.nbytes.copy(),
        )


@dataclass(frozen=True)
class Before:
    """Counters as they stood when timing began."""

    drops: Drops
    copied: dict[str, int]
    began_s: float


def begin_anew(rig: LiveLoop) -> Before:
    """Clear all times, and return the counters."""
    rig.magnifying.meter.times.clear()
    rig.cpu.clear()
    rig.account.times.clear()
    rig.watch.read()
    rig.events.clear()
    reset_peak()
    return Before(_drops(rig), rig.account.by_place(), time.monotonic())


def result_of(
    job: BenchJob,
    runtime: Runtime,
    rig: LiveLoop,
    record: RunTimes,
    size: tuple[int, int],
    before: Before,
) -> BenchResult:
    """Result of a run, when all frames are through."""
    frames = record.count
    times, rate = rig.magnifying.meter.times, rig.magnifying.meter.measure()
    stages = times.summaries()
    curves = {name: times.quantiles_ms(name, curve_parts()) for name in stages}
    if (copying := rig.account.times.summary()).count:
        stages["copy"] = copying
        curves["copy"] = [1e3 * rig.account.times.quantile_s(float(part)) for part in curve_parts()]
    copied = _copied_per_frame(rig, before, frames)
    nominal_hz = job.rate_hz if job.camera is None else getattr(job.camera, "rate_hz", None) or 0.0
    manifest = runtime.bundle.manifest
    return BenchResult(
        version=_version(),
        when=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        device=_device(),
        bundle=runtime.bundle.directory.name,
        network=manifest.network,
        precision=manifest.precision,
        trained=manifest.trained,
        mode=job.magnification.mode,
        runtime=runtime.description,
        why=runtime.why,
        passed_over=runtime.passed_over,
        notes=runtime.notes,
        camera=rig.camera,
        width_px=size[0],
        height_px=size[1],
        frames=frames,
        elapsed_s=float(record.ready_s[frames - 1] - before.began_s),
        nominal_rate_hz=nominal_hz or (rate.rate_hz if rate else 0.0),
        stages=stages,
        curves_ms=curves,
        overhead=record.overhead(rig.cpu.summaries()),
        memory=Memory(resident_bytes(), peak_bytes(), record.memory.growth_bytes()),
        copies=Copies(sum(copied.values()), copied),
        rate=rate,
        drops=_since(before.drops, _drops(rig)),
        faults=tuple(f"{event.kind}: {event.detail}" for event in rig.events if event.begins),
        comparison=None,
        comparison_failed="",
        timeline=record.timeline(before.began_s),
    )


def _copied_per_frame(rig: LiveLoop, before: Before, frames: int) -> dict[str, float]:
    """Bytes by place: of every frame of the camera where the camera copied, else of every magnified frame."""
    read = rig.cpu.summaries()["supervision"].count
    copied = {place: nbytes - before.copied.get(place, 0) for place, nbytes in rig.account.by_place().items()}
    return {
        place: nbytes / (read if place.startswith("camera") else frames)
        for place, nbytes in copied.items()
        if nbytes
    }


def _drops(rig: LiveLoop) -> Drops:
    """Drops of the camera; late are those that were not magnified because newer ones came."""
    return replace(rig.supervisor.state().drops, late=rig.magnifying.frames.pushed_out)


def _since(before: Drops, now: Drops) -> Drops:
    return Drops(**{name: getattr(now, name) - getattr(before, name) for name in vars(now)})


def _device() -> dict[str, Any]:
    device, available = read_device()
    return {**vars(device), "available_bytes": available}


def _version() -> str:
    try:
        return version("tremorscope")
    except PackageNotFoundError:
        return "unknown"


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
    return Roofline(tuple(bounds), processor, gpu, missing, meter_noise_px())
