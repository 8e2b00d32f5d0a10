"""Mapped against device memory: the cost for a step of frames that the CPU can access."""

from __future__ import annotations

from tremorscope.runtime.engines.tensorrt.profile import step_times_ms
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import loaded_engine, need_tensorrt, site_bundle, small_engine

_STEPS = 30


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
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
