"""TensorRT for the steps: its availability, engines of one size, and their trial: parsing, build, load and run, with
time and memory of each.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from tremorscope.runtime.bench.power_and_memory import memory_watched
from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.probe import Machine
from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.selection import Runtime, closing_runtime, open_runtime
from tremorscope.runtime.engines.tensorrt.build_job import BuildJob, build_bundle
from tremorscope.runtime.engines.tensorrt.engine_file import EnginePaths, engine_paths
from tremorscope.runtime.engines.tensorrt.library import LoadedEngine, load_engine, load_library
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.prove.outcome import Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan


def has_tensorrt(plan: ProvePlan) -> bool:
    """True if engines are TensorRT's here. On a Jetson they must be, unless the configuration chooses ONNX Runtime."""
    configuration = plan.configuration()
    if configuration is not None and configuration.magnification.runtime == "onnxruntime":
        return False
    if read_device()[0].gpu is None:
        return is_jetson(Machine())  # one without its driver is a fault, which opening TensorRT reports
    return is_jetson(Machine()) or importlib.util.find_spec("tensorrt") is not None


def need_tensorrt(plan: ProvePlan) -> None:
    """Skip a step that examines TensorRT, unless it is available.

    Raises:
        Skip: there is no GPU or TensorRT, or the configuration chooses ONNX Runtime.
    """
    if not has_tensorrt(plan):
        gpu = read_device()[0].gpu
        raise Skip(
            "no GPU answers here"
            if gpu is None
            else f"{gpu} is there, and TensorRT is not or is not to be used"
        )


def site_bundle(plan: ProvePlan) -> Bundle:
    """The network as this device runs it: in FP16 on a GPU, unless a precision is configured.

    Raises:
        BundleFault: it is missing or damaged.
    """
    return plan.bundle.for_gpu() if has_tensorrt(plan) else plan.bundle


def engines_directory(plan: ProvePlan, bundle: Bundle) -> Path:
    """Directory in which the engines of a bundle are kept from run to run."""
    return plan.work / "engines" / f"{bundle.directory.name}-{bundle.manifest.precision}"


def small_engine(plan: ProvePlan, bundle: Bundle, graph: GraphName, size: FrameSize) -> EnginePaths:
    """An engine that an earlier step has built.

    Raises:
        Skip: it has not.
    """
    directory, precision = engines_directory(plan, bundle), bundle.manifest.precision
    paths = engine_paths(directory, "tensorrt", graph, size, precision=precision)
    if not paths.engine.exists():
        raise Skip("there is no engine to look at: it was not built before")
    return paths


@contextmanager
def opened_gpu() -> Iterator[Gpu]:
    """The GPU, closed at the end.

    Raises:
        EngineFault: it cannot be opened.
    """
    from tremorscope.runtime.gpu.pycuda_gpu import open_gpu

    gpu = open_gpu()
    try:
        yield gpu
    finally:
        with suppress(LeaseError):  # after a fault, whose traceback holds memory; the process ends then
            gpu.close()


@contextmanager
def loaded_engine(paths: EnginePaths) -> Iterator[tuple[Gpu, LoadedEngine]]:
    """An engine on the GPU.

    Raises:
        EngineFault: it cannot be loaded.
    """
    with opened_gpu() as gpu:
        with gpu.current():
            loaded = load_engine(load_library("tensorrt"), paths.engine)
        yield gpu, loaded


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
