"""CUDA graphs: whether TensorRT lets the step be captured, and what is captured where slots jitter."""

from __future__ import annotations

import numpy as np

from runtime.buffers import FrameRing
from runtime.engines.bundle import GraphName
from runtime.engines.choosing import closing_runtime, open_runtime
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan
from runtime.prove.tensorrt import engines_directory, need_tensorrt, small_engine

_GRAPHS: tuple[GraphName, ...] = ("pairwise",)
_FRAMES, _PICTURES = 11, 2
"""Slots of the live loop's rings."""
_LATE = 0.2
"""Part of the frames that a jittering loop comes too late for."""


def run(plan: Plan, findings: Findings) -> Outcome:
    """Step as the live loop does, with frames left out at random, and count."""
    need_tensorrt(plan)
    size, bundle = plan.site_size, plan.bundle
    small_engine(plan, bundle, "pairwise", size)
    sizes = {"width_px": size.width_px, "height_px": size.height_px}
    opened = open_runtime(
        "tensorrt",
        bundle,
        width_px=size.width_px,
        height_px=size.height_px,
        engines=engines_directory(plan, bundle),
        graphs=_GRAPHS,
    )
    steps = 100 if plan.quick else 600
    with closing_runtime(opened) as runtime:
        if runtime.gpu is None or not runtime.gpu.captures:
            findings.fact("captures", "none: cuda-bindings are not installed, or not for this CUDA")
            return findings.outcome("steps are launched layer by layer: no cuda-bindings")
        engine = runtime.open_pairwise()
        frames = FrameRing(_FRAMES, channels=engine.channels, allocate=runtime.allocate, **sizes)
        pictures = FrameRing(_PICTURES, allocate=runtime.allocate, **sizes)
        random = np.random.default_rng(0)
        at, times_ms, captured = 1, list[float](), 0
        for number in range(steps):
            at += 1 + int(random.random() < _LATE)
            engine.step(frames.frame(at), frames.frame(0), 10.0, pictures.frame(number))
            times_ms.append(float(getattr(engine, "last_gpu_ms", 0.0)))
            captured = int(getattr(engine, "graphs", 0))
        del frames, pictures
    findings.fact("steps", steps)
    findings.fact("graphs_kept", captured)
    findings.fact("step_on_gpu_median_ms", float(np.median(times_ms)))
    how = f"{captured} graphs are kept" if captured else "no step is captured"
    return findings.outcome(f"{how} after {steps} steps with one frame in {1 / _LATE:.0f} left out")
