"""Mapped against device memory: what it costs a step that frames lie where the CPU sees them."""

from __future__ import annotations

import math
from contextlib import ExitStack

import numpy as np

from runtime.cuda import Gpu
from runtime.engines.tensorrt_load import LoadedEngine
from runtime.engines.tensorrt_memory import Scalars
from runtime.engines.tensorrt_step import StepContext
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan
from runtime.prove.tensorrt import loaded_engine, need_tensorrt, small_engine

_FRAMES = ("frame", "reference", "magnified")
_STEPS = 30
_MOST = 1.5
"""A step that takes so many times as long on mapped memory should have its frames copied to the device instead."""


def run(plan: Plan, findings: Findings) -> Outcome:
    """Run the site's pairwise step on both, in turns."""
    need_tensorrt(plan)
    paths = small_engine(plan, plan.bundle, "pairwise", plan.site_size)
    with loaded_engine(paths) as (gpu, loaded):
        mapped_ms, device_ms = compare(gpu, loaded, 5 if plan.quick else _STEPS)
        integrated = gpu.info.integrated
    ratio = mapped_ms / device_ms if device_ms else math.inf
    findings.fact("mapped_ms", mapped_ms)
    findings.fact("device_ms", device_ms)
    findings.fact("integrated", integrated)
    if integrated:  # across a bus, mapped memory is slow by nature, and nobody deploys it there
        findings.check("mapped over device memory", f"{ratio:.3f}", f"below {_MOST:g}", holds=ratio < _MOST)
    return findings.outcome(
        f"{mapped_ms:.2f} ms on mapped memory, {device_ms:.2f} ms on the device's: x{ratio:.3f}"
    )


def compare(gpu: Gpu, loaded: LoadedEngine, steps: int) -> tuple[float, float]:
    """Median step on the GPU, in ms, with frames in mapped memory and in the device's."""
    shapes = [loaded.tensors[name].shape for name in _FRAMES]
    times_ms: tuple[list[float], list[float]] = ([], [])
    mapped = [gpu.allocate_mapped(math.prod(shape)) for shape in shapes]
    with gpu.current(), ExitStack() as undo:
        context = StepContext(gpu, loaded, _FRAMES)
        undo.callback(context.close)
        scalars = Scalars(gpu, {"amplification": 1})
        undo.callback(scalars.close)
        scalars["amplification"][0] = 10.0
        scalars.bind(context)
        device = [gpu.allocate_device(math.prod(shape)) for shape in shapes]
        for each in device:
            undo.callback(each.free)
        places = (
            tuple(gpu.device_address(each) for each in mapped),
            tuple(each.address for each in device),
        )
        for step in range(steps + 3):
            for addresses, times in zip(places, times_ms, strict=True):
                context.run(addresses)
                if step >= 3:
                    times.append(context.last_gpu_ms)
    on_mapped, on_device = (float(np.median(each)) for each in times_ms)
    return on_mapped, on_device
