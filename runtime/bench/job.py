"""Bench job: the live loop as the service runs it, timed stage by stage for a while, and beside a baseline's step.

The model's step and the baseline's run in turns, so that a change of the machine's load falls on both alike.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from tremorscope.runtime.bench.live import LiveLoop, build_loop
from tremorscope.runtime.bench.power_and_memory import traced_device
from tremorscope.runtime.bench.record import RunTimes, begin_anew, find_roofline, result_of
from tremorscope.runtime.bench.result import BaselineComparison, BenchResult
from tremorscope.runtime.bench.rig import Moment
from tremorscope.runtime.bench.roofline import Roofline
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.cameras.opening import frame_size
from tremorscope.runtime.cameras.settings import (
    CameraSettings,
    ClipSettings,
    CsiSettings,
    RtspCameraSettings,
    SyntheticCameraSettings,
    V4l2Settings,
)
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.errors import BundleFault, CameraFault, EngineFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.host.progress import Progress

_PAIRWISE: tuple[GraphName, ...] = ("pairwise",)


def compare(
    job: BenchJob,
    model: Bundle,
    baseline: Bundle,
    size: tuple[int, int],
    turns: int,
    progress: Callable[[int, int | None], None],
) -> BaselineComparison:
    """Time the pairwise step of both, by the job's runner, one after the other, again and again.

    Raises:
        BundleFault: a bundle has no pairwise graph for this size.
        EngineFault: an engine cannot be opened, or fails, e.g. for lack of memory.
    """
    times_s = np.zeros((turns, 2))
    with (
        _opened(job, model, size, job.engines) as first,
        _opened(job, baseline, size, None) as second,
    ):
        steps = [_step(runtime, size, job.magnification.amplification) for runtime in (first, second)]
        for step in steps:
            step()  # the first makes memory
        for turn in range(turns):
            for which, step in enumerate(steps):
                times_s[turn, which] = step()
            progress(turn + 1, turns)
        del steps, step  # and with them the rings in the runtimes' memory
    model_ms, baseline_ms = (1e3 * float(each) for each in np.median(times_s, axis=0))
    speedup = float(np.median(times_s[:, 1] / times_s[:, 0]))
    return BaselineComparison(baseline.manifest.network, model_ms, baseline_ms, turns, speedup)


def _opened(
    job: BenchJob, bundle: Bundle, size: tuple[int, int], engines: Path | None
) -> AbstractContextManager[Runtime]:
    return closing_runtime(
        open_runtime(
            job.runtime,
            bundle,
            size,
            threads=job.threads,
            engines=engines,
            graphs=_PAIRWISE,
        )
    )


def _step(runtime: Runtime, size: tuple[int, int], amplification: float) -> Callable[[], float]:
    """A step on noise, which returns how long it took, in seconds."""
    width_px, height_px = size
    engine = runtime.open_pairwise()
    inputs = FrameRing(
        2, width_px=width_px, height_px=height_px, channels=engine.channels, allocate=runtime.allocate
    )
    outputs = FrameRing(1, width_px=width_px, height_px=height_px, allocate=runtime.allocate)
    frame, reference, magnified = inputs.frame(0), inputs.frame(1), outputs.frame(0)
    random = np.random.default_rng(0)
    for pixels in (frame, reference):
        pixels[:] = random.integers(0, 256, pixels.shape, np.uint8)

    def step() -> float:
        begun_s = time.perf_counter()
        engine.step(frame, reference, amplification, magnified)
        return time.perf_counter() - begun_s

    return step


NO_FRAME_S = 15.0
"""Time without a frame that ends the bench: longer than the supervisor takes to open the camera twice."""
NOT_THERE_S = 4.0
"""Time without a frame that ends the bench where the camera is missing: several attempts to open it."""
FEWEST_FRAMES = 10
_BAND: tuple[GraphName, ...] = ("band",)
_DEFAULT_SIZE = FrameSize(width_px=640, height_px=360)


def run_bench(
    job: BenchJob,
    progress: Progress = lambda _done, _total: None,
    note: Callable[[str], None] = lambda _text: None,
) -> BenchResult:
    """Run and time the live loop, then the baseline's step if there is one.

    Raises:
        BundleFault: a bundle is missing, damaged, or not for frames of this size.
        EngineFault: the runtime that was named is not available, or fails.
        CameraFault: the camera gives no frames.
        OptionFault: options that contradict each other.
    """
    note("opening")
    bundle = open_bundle(job.bundle)
    baseline = open_bundle(job.against) if job.against else None
    camera = _camera(job, bundle)
    size = frame_size(camera)
    with _runtime(job, bundle, size) as runtime:
        result = _timed(job, bundle, runtime, camera, size, progress, note)
        if job.roofline:
            note("roofline")
            result = replace(result, roofline=_roofline(job, result, runtime))
        same_runner = replace(job, runtime=runtime.name)
    if baseline is None:
        return result
    note("comparing")
    turns = max(5, min(30, job.frames // 5))
    try:
        return replace(result, comparison=compare(same_runner, bundle, baseline, size, turns, progress))
    except (EngineFault, BundleFault) as fault:  # the times until then are reported all the same
        return replace(result, comparison_failed=str(fault))


def _roofline(job: BenchJob, result: BenchResult, runtime: Runtime) -> Roofline:
    try:
        return find_roofline(result, runtime, job.threads)
    except (EngineFault, BundleFault) as fault:  # the times until then are reported all the same
        return Roofline(missing=str(fault))


def _camera(job: BenchJob, bundle: Bundle) -> CameraSettings:
    if job.camera is None:
        size = job.size or bundle.manifest.frame_size or _DEFAULT_SIZE
        return _sized(SyntheticCameraSettings, size, {"rate_hz": job.rate_hz})
    if job.size is None:
        return job.camera
    if isinstance(job.camera, ClipSettings):
        raise OptionFault(f"the size of a {job.camera.kind} is its own", remedy="leave --size out")
    return _sized(type(job.camera), job.size, job.camera.model_dump())


def _sized(
    kind: type[CsiSettings | V4l2Settings | RtspCameraSettings | SyntheticCameraSettings],
    size: FrameSize,
    others: dict[str, Any],
) -> CameraSettings:
    try:
        return kind.model_validate(others | {"width_px": size.width_px, "height_px": size.height_px})
    except ValidationError as error:
        first = error.errors()[0]
        side = first["loc"][-1] if first["loc"] else "size"
        raise OptionFault(
            f"{size.width_px}x{size.height_px} px: cannot be frames of a {others.get('kind', 'drawn')} camera: "
            f"{side} {first['msg'].removeprefix('Input ')}",
            remedy="name another --size",
        ) from None


@contextmanager
def _runtime(job: BenchJob, bundle: Bundle, size: tuple[int, int]) -> Iterator[Runtime]:
    opened = open_runtime(
        job.runtime,
        bundle,
        size,
        threads=job.threads,
        engines=job.engines,
        graphs=_BAND if job.magnification.wanted().filters else _PAIRWISE,
    )
    with closing_runtime(opened) as runtime:
        yield runtime
        gc.collect()  # rings in a cycle of references hold its memory


def _timed(
    job: BenchJob,
    bundle: Bundle,
    runtime: Runtime,
    camera: CameraSettings,
    size: tuple[int, int],
    progress: Progress,
    note: Callable[[str], None],
) -> BenchResult:
    """Run the loop; nothing of it is left when this returns."""
    with ExitStack() as closing:
        rig = build_loop(job, bundle, runtime, camera, size, closing)
        note("warming up")
        _run(rig, RunTimes(job.warm_up), progress, job.warm_up)
        before = begin_anew(rig)
        note("timing")
        record = RunTimes(job.frames)
        with traced_device() as trace:
            _run(rig, record, progress, job.frames, job.most_s)
        result = result_of(job, runtime, rig, record, size, before)
        return replace(result, power=trace.power(result.rate_hz, size[0] * size[1]), trace=trace)


def _run(
    rig: LiveLoop, record: RunTimes, progress: Progress, total: int, most_s: float | None = None
) -> None:
    """Run the loop for the wanted frames, or for ``most_s`` seconds and ten frames at least."""
    last_s = begun_s = time.monotonic()
    while record.count < record.wanted:
        if most_s is not None and last_s - begun_s > most_s and record.count >= FEWEST_FRAMES:
            return
        came = rig.magnifying.frames.wait(0.5)
        begun = Moment.now()
        info = rig.magnifying.advance(0.0) if came else None
        ended, now_s = Moment.now(), time.monotonic()
        rig.threads.raise_failure()
        if info is not None:
            record.add(rig, info, ended.since(begun), now_s)
            progress(record.count, total)
            last_s = now_s
        elif rig.supervisor.state().status == "ended":
            if record.count < min(FEWEST_FRAMES, record.wanted):
                raise CameraFault(
                    f"{rig.camera}: ended after {record.count} frames",
                    remedy="name a longer clip, or loop it",
                )
            return
        elif now_s - last_s > (NOT_THERE_S if _is_missing(rig) else NO_FRAME_S):
            seen = rig.events[-1].detail if rig.events else "no fault was reported"
            raise CameraFault(
                f"{rig.camera}: no frame within {now_s - last_s:.0f} s ({seen})",
                remedy="see what tremorscope doctor says",
            )


def _is_missing(rig: LiveLoop) -> bool:
    """Return True if the camera was never opened because it is missing."""
    return rig.supervisor.state().openings == 0 and "missing" in rig.supervisor.state().active
