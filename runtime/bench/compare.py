"""The model's step against a baseline's, in turns, so that a change of the machine's load falls on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from tremorscope.runtime.bench.result import BaselineComparison
from tremorscope.runtime.bench.settings import BenchJob
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.frames.buffers import FrameRing

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
