"""Trial of engines of one size: parsing, build, load and run, with time and memory of each."""

from __future__ import annotations

import time

import numpy as np

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.prove.memory_watch import memory_watched
from tremorscope.runtime.prove.outcome import StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import engines_directory, has_tensorrt

_STEPS = 5
_AMPLIFICATION = 10.0


def try_engines(
    plan: ProvePlan, findings: StepFindings, bundle: Bundle, size: FrameSize, graphs: tuple[GraphName, ...]
) -> str:
    """Build, load and run the engines; returns the summary of the step.

    Raises:
        Fault: an engine cannot be built, loaded or run.
    """
    findings.fact("bundle", bundle.directory.name)
    findings.fact("precision", bundle.manifest.precision)
    findings.fact("frames", f"{size.width_px}x{size.height_px}")
    on_gpu = has_tensorrt(plan)
    findings.fact("on_tensorrt", on_gpu)
    built = _build(plan, findings, bundle, size, graphs) if on_gpu else ""
    with memory_watched() as memory:
        begun_s = time.monotonic()
        opened = open_runtime(
            "tensorrt" if on_gpu else "onnxruntime",
            bundle,
            (size.width_px, size.height_px),
            engines=engines_directory(plan, bundle) if on_gpu else None,
            graphs=graphs,
        )
        with closing_runtime(opened) as runtime:
            load_s, step_ms, lively = _run(runtime, begun_s)
            if "band" in graphs:
                findings.fact("band_state_mb", runtime.open_band().state_nbytes / 1e6)
    findings.fact("runtime", runtime.description)
    findings.fact("load_s", load_s)
    findings.fact("step_median_ms", step_ms)
    findings.fact("peak_process_mib", memory.process_mib)
    findings.fact("peak_system_mib", memory.system_mib)
    findings.check("the picture", "drawn" if lively else "black", "drawn", holds=lively)
    did = built or f"loaded in {load_s:.1f} s"
    return (
        f"{size.width_px}x{size.height_px} {bundle.manifest.precision}: {did}, {step_ms:.2f} ms a step, "
        f"{memory.process_mib:.0f} MiB ({runtime.description})"
    )


def _build(
    plan: ProvePlan, findings: StepFindings, bundle: Bundle, size: FrameSize, graphs: tuple[GraphName, ...]
) -> str:
    """Build the engines that are missing from an earlier run; returns a summary, empty if there is nothing to say."""
    job = BuildJob(bundle.directory, size=size, output=engines_directory(plan, bundle), graphs=graphs)
    with memory_watched() as memory:
        reports = list(build_bundle(job, lambda *_: None))
    for report in reports:
        name = report.sidecar.source.graph
        findings.fact(f"build_{name}_s", report.sidecar.build_s)
        findings.fact(f"engine_{name}_mb", report.sidecar.engine_bytes / 1e6)
        findings.fact(f"built_{name}", "now" if report.built else f"on {report.sidecar.built_utc}")
        for note in report.notes:
            findings.fact(f"note_{name}", note)
    findings.fact("build_peak_process_mib", memory.process_mib)
    findings.fact("build_peak_system_mib", memory.system_mib)
    seconds = sum(report.sidecar.build_s for report in reports)
    return f"built in {seconds:.0f} s with {max(memory.process_mib, memory.system_mib):.0f} MiB"


def _run(runtime: Runtime, begun_s: float) -> tuple[float, float, bool]:
    """Seconds until the first picture, median step in ms, and True if the picture is not black."""
    engine = runtime.open_pairwise()
    sizes = {"width_px": engine.width_px, "height_px": engine.height_px}
    frames = FrameRing(2, channels=engine.channels, allocate=runtime.allocate, **sizes)
    pictures = FrameRing(1, allocate=runtime.allocate, **sizes)
    random = np.random.default_rng(0)
    for slot in range(2):
        frames.frame(slot)[:] = random.integers(32, 224, frames.frame(slot).shape, np.uint8)
    picture = pictures.frame(0)
    engine.step(frames.frame(0), frames.frame(1), _AMPLIFICATION, picture)
    load_s = time.monotonic() - begun_s
    times_ms = []
    for _ in range(_STEPS):
        step_s = time.perf_counter()
        engine.step(frames.frame(0), frames.frame(1), _AMPLIFICATION, picture)
        times_ms.append(1e3 * (time.perf_counter() - step_s))
    return load_s, float(np.median(times_ms)), bool(picture.any())
