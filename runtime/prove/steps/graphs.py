"""CUDA graphs: capture of the step by TensorRT, with regular and with irregular slots of the rings."""

from __future__ import annotations

import dataclasses

import numpy as np

from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.pairwise import TensorrtEngine
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import engines_directory, need_tensorrt, site_bundle, small_engine

_GRAPHS: tuple[GraphName, ...] = ("pairwise",)
_FRAMES, _PICTURES = 11, 2
"""Slots of the live loop's rings."""
_LATE = 0.2
"""Share of the frames that an irregular loop misses."""
_LEAST = 0.95
"""Least share of steps launched as graphs for which capturing, which costs many steps, is worth it."""


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Run steps as the live loop does, with frames left out at random, and count the graphs."""
    need_tensorrt(plan)
    size, bundle = plan.site_size, site_bundle(plan)
    small_engine(plan, bundle, "pairwise", size)
    sizes = {"width_px": size.width_px, "height_px": size.height_px}
    opened = open_runtime(
        "tensorrt",
        bundle,
        (size.width_px, size.height_px),
        engines=engines_directory(plan, bundle),
        graphs=_GRAPHS,
    )
    steps = 100 if plan.quick else 600
    with closing_runtime(opened) as runtime:
        if runtime.gpu is None or not runtime.gpu.captures:
            findings.fact("captures", "none: cuda-bindings are not installed, or not for this CUDA")
            return findings.outcome("steps are launched layer by layer: no cuda-bindings")
        engine = runtime.open_pairwise()
        assert isinstance(engine, TensorrtEngine)
        _jitter(runtime, engine, steps, sizes)
        use = dataclasses.replace(engine.graph_use)
    for name, value in dataclasses.asdict(use).items():
        findings.fact(name, value)
    part = use.launched / max(1, use.steps)
    findings.check(
        "steps launched as graphs",
        f"{part:.1%}, {use.captured} captured",
        f"at least {_LEAST:.0%}, or none captured",
        holds=part >= _LEAST or use.captured == 0,
    )
    return findings.outcome(f"{use}, with one frame in {1 / _LATE:.0f} left out")


def _jitter(runtime: Runtime, engine: TensorrtEngine, steps: int, sizes: dict[str, int]) -> None:
    """Run steps through the slots of both rings, as a loop that sometimes misses a frame."""
    frames = FrameRing(_FRAMES, channels=engine.channels, allocate=runtime.allocate, **sizes)
    pictures = FrameRing(_PICTURES, allocate=runtime.allocate, **sizes)
    random, at = np.random.default_rng(0), 1
    for number in range(steps):
        at += 1 + int(random.random() < _LATE)
        engine.step(frames.frame(at), frames.frame(0), 10.0, pictures.frame(number))
