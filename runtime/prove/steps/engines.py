"""Engines: a small and the site's own are built and run; time by layer, with the share of the warp (GridSample);
CUDA graphs; mapped against device memory.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np

from tremorscope.runtime.engines.interface.manifest import GraphName
from tremorscope.runtime.engines.onnx.profile import profile
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.profile import layer_times_ms, step_times_ms
from tremorscope.runtime.engines.tensorrt.runners import TensorrtEngine
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.prove.outcome import Outcome, Row, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import (
    engines_directory,
    has_tensorrt,
    loaded_engine,
    need_tensorrt,
    site_bundle,
    small_engine,
    try_engines,
)


def run_small(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Try both graphs of the site's network on small frames."""
    bundle = site_bundle(plan)
    return findings.outcome(
        try_engines(plan, findings, bundle, plan.small_size, tuple(bundle.manifest.graphs))
    )


def run_site(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Try both graphs of the site's network on frames of its camera's size."""
    bundle = site_bundle(plan)
    return findings.outcome(
        try_engines(plan, findings, bundle, plan.site_size, tuple(bundle.manifest.graphs))
    )


_RUNS = 20
_MOST_ROWS = 15


def run_layers(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Profile the site's pairwise step."""
    findings.fact("on_tensorrt", has_tensorrt(plan))
    if has_tensorrt(plan):
        return _of_tensorrt(plan, findings)
    return _of_onnx_runtime(plan, findings)


def _of_tensorrt(plan: ProvePlan, findings: StepFindings) -> Outcome:
    paths = small_engine(plan, site_bundle(plan), "pairwise", plan.site_size)
    with loaded_engine(paths) as (gpu, loaded):
        times_ms = layer_times_ms(gpu, loaded, 5 if plan.quick else _RUNS)
    findings.check("layers that were reported", len(times_ms), "at least 1", holds=bool(times_ms))
    warp = {name: ms for name, ms in times_ms.items() if is_warp(name)}
    if not warp:
        findings.fact("warp", "no layer is named after GridSample: it was fused, or runs under another name")
    return _tell(findings, times_ms, sum(warp.values()), "TensorRT")


def _of_onnx_runtime(plan: ProvePlan, findings: StepFindings) -> Outcome:
    size = plan.site_size
    path = plan.bundle.cpu_graph_path("pairwise")
    found = profile(path, size.width_px, size.height_px, runs=2 if plan.quick else 5, optimised=True)
    times_ms: dict[str, float] = defaultdict(float)
    for layer in found:
        times_ms[layer.operator] += layer.time_ms
    warp_ms = sum(layer.time_ms for layer in found if layer.operator == "GridSample")
    findings.check("GridSample was run", bool(warp_ms), True, holds=warp_ms > 0)
    return _tell(findings, dict(times_ms), warp_ms, "ONNX Runtime, by operator")


def is_warp(layer: str) -> bool:
    """True if a layer's name contains the warp: TensorRT keeps the names of nodes, alone or among others."""
    return "gridsample" in layer.lower().replace("_", "").replace(" ", "")


def _tell(findings: StepFindings, times_ms: dict[str, float], warp_ms: float, by: str) -> Outcome:
    total_ms = sum(times_ms.values())
    slowest = sorted(times_ms.items(), key=lambda each: -each[1])
    rows: list[Row] = [[name, round(ms, 4), f"{ms / total_ms:.1%}"] for name, ms in slowest[:_MOST_ROWS]]
    if len(slowest) > _MOST_ROWS:
        rest_ms = sum(ms for _, ms in slowest[_MOST_ROWS:])
        rows.append([f"{len(slowest) - _MOST_ROWS} others", round(rest_ms, 4), f"{rest_ms / total_ms:.1%}"])
    findings.table(f"Time by layer ({by})", ["layer", "ms", "part"], rows)
    findings.fact("total_ms", total_ms)
    findings.fact("warp_ms", warp_ms)
    findings.fact("warp_part", warp_ms / total_ms if total_ms else None)
    return findings.outcome(
        f"{total_ms:.2f} ms in {len(times_ms)} layers, {warp_ms / total_ms:.1%} of it GridSample"
    )


_GRAPHS: tuple[GraphName, ...] = ("pairwise",)
_FRAMES, _PICTURES = 11, 2
"""Slots of the live loop's rings."""
_LATE = 0.2
"""Share of the frames that an irregular loop misses."""
_LEAST = 0.95
"""Least share of steps launched as graphs for which capturing, which costs many steps, is worth it."""


def run_graphs(plan: ProvePlan, findings: StepFindings) -> Outcome:
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


_STEPS = 30


def run_memory(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Run the site's pairwise step on both, in turns, and add the times; neither result fails the step."""
    need_tensorrt(plan)
    paths = small_engine(plan, site_bundle(plan), "pairwise", plan.site_size)
    with loaded_engine(paths) as (gpu, loaded):
        mapped_ms, device_ms = step_times_ms(gpu, loaded, 5 if plan.quick else _STEPS)
        findings.fact("integrated", gpu.info.integrated)
    findings.fact("mapped_ms", mapped_ms)
    findings.fact("device_ms", device_ms)
    findings.check(
        "a step was timed", f"{device_ms:.3f} ms", "more than none", holds=min(mapped_ms, device_ms) > 0
    )
    ratio = mapped_ms / device_ms if device_ms else 0.0
    return findings.outcome(
        f"{mapped_ms:.2f} ms on mapped memory, {device_ms:.2f} ms on the device's: x{ratio:.3f}"
    )
