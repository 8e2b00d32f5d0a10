"""Time by layer, and the share of the warp (GridSample), by TensorRT's profiler, or ONNX Runtime's on a PC."""

from __future__ import annotations

from collections import defaultdict

from tremorscope.runtime.engines.onnx.profile import profile
from tremorscope.runtime.engines.tensorrt.profile import layer_times_ms
from tremorscope.runtime.prove.outcome import Outcome, Row, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import has_tensorrt, loaded_engine, site_bundle, small_engine

_RUNS = 20
_MOST_ROWS = 15


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
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
