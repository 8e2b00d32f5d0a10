"""The model's step against a baseline's, in turns, so that a change of the machine's load falls on both alike."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from runtime.bench.result import Comparison
from runtime.engines import PairwiseEngine
from runtime.engines.bundle import Bundle
from runtime.engines.choosing import open_runtime
from runtime.leases import LeasingRing

if TYPE_CHECKING:
    from runtime.bench.job import BenchJob


def compare(
    job: BenchJob,
    model: Bundle,
    baseline: Bundle,
    size: tuple[int, int],
    turns: int,
    progress: Callable[[int, int | None], None],
) -> Comparison:
    """Time the pairwise step of both, one after the other, again and again.

    Raises:
        BundleFault: a bundle has no pairwise graph for this size.
        EngineFault: an engine cannot be had, or fails, for want of memory for example.
    """
    width_px, height_px = size
    with ExitStack() as closing:
        steps = []
        for bundle, engines in ((model, job.engines), (baseline, None)):
            runtime = open_runtime(
                job.runtime,
                bundle,
                width_px=width_px,
                height_px=height_px,
                threads=job.threads,
                engines=engines,
            )
            closing.callback(runtime.close)
            ring = LeasingRing(3, width_px=width_px, height_px=height_px, allocate=runtime.allocate)
            steps.append(_step(runtime.open_pairwise(), ring, job.magnification.amplification))
        times_s = np.zeros((turns, len(steps)))
        for step in steps:
            step()  # the first makes memory
        for turn in range(turns):
            for which, step in enumerate(steps):
                times_s[turn, which] = step()
            progress(turn + 1, turns)
        del steps, ring, step
    model_ms, baseline_ms = (1e3 * float(each) for each in np.median(times_s, axis=0))
    speedup = float(np.median(times_s[:, 1] / times_s[:, 0]))
    return Comparison(baseline.manifest.network, model_ms, baseline_ms, turns, speedup)


def _step(engine: PairwiseEngine, ring: LeasingRing, amplification: float) -> Callable[[], float]:
    """A step on noise, which returns how long it took, in seconds."""
    random = np.random.default_rng(0)
    leases = [ring.acquire("the comparison") for _ in range(3)]
    frame, reference, magnified = (lease.pixels for lease in leases if lease is not None)
    for pixels in (frame, reference):
        pixels[:] = random.integers(0, 256, pixels.shape, np.uint8)

    def step() -> float:
        begun_s = time.perf_counter()
        engine.step(frame, reference, amplification, magnified)
        return time.perf_counter() - begun_s

    for lease in leases:
        assert lease is not None
        lease.release()  # nobody else uses this ring
    return step
