"""The job of ``tremorscope build``: every step graph of a bundle into an engine for this device."""

from __future__ import annotations

import hashlib
import importlib.metadata
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from tremorscope.runtime.engines.interface.bundle import Bundle, FrameSize, Graph, GraphName, open_bundle
from tremorscope.runtime.engines.tensorrt.build import BuildMemoryFault, Built, build_engine
from tremorscope.runtime.engines.tensorrt.engine_file import (
    EnginePaths,
    Settings,
    Sidecar,
    Source,
    check_engine,
    check_writable,
    describe_builder,
    engine_paths,
    write_engine,
    write_whole,
)
from tremorscope.runtime.engines.tensorrt.library import Library, load_library
from tremorscope.runtime.engines.tensorrt.plan import (
    PRODUCTS,
    Plan,
    Request,
    Target,
    fit_workspace,
    plan_build,
)
from tremorscope.runtime.engines.tensorrt.progress import Progress
from tremorscope.runtime.engines.tensorrt.shapes import Sizes, input_shape
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.gpu.device import Device, read_device

log = logging.getLogger("tremorscope.build")


@dataclass(frozen=True)
class BuildJob:
    """What to build, for which frames, and how."""

    bundle: Path
    """Directory of a bundle, or the name of one that is shipped: without a precision, its twin in FP16 is built."""
    size: FrameSize | None = None
    """Of the frames; None takes the one that the bundle is for."""
    target: Target = "tensorrt"
    workspace_mib: int | None = None
    """Scratch memory for the builder; None fits it to what is free."""
    timing_cache: Path | None = None
    """None keeps one beside the engines."""
    dla_core: int | None = None
    most_sections: int = 8
    """Of a band filter, which is as many as its order, per band, and one a notch."""
    output: Path | None = None
    """Directory of the engines; None takes ``engines`` within the bundle."""
    rebuild: bool = False
    graphs: tuple[GraphName, ...] | None = None
    """Which of the bundle's; None builds all."""


@dataclass(frozen=True)
class EngineReport:
    """What became of one graph."""

    paths: EnginePaths
    sidecar: Sidecar
    built: bool
    """False where an engine that fits was there already."""
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report for a person."""
        source, builder = self.sidecar.source, self.sidecar.builder
        size = f"{source.frame_size.width_px}x{source.frame_size.height_px}"
        product = f"{PRODUCTS[builder.target]} {builder.version}"
        how = f"in {self.sidecar.build_s:.1f} s" if self.built else f"already, on {self.sidecar.built_utc}"
        return [
            f"graph          {source.graph} of {source.network}, {source.precision.upper()}, {size} px",
            f"built          {how}, {self.sidecar.engine_bytes / 1e6:.1f} MB, {product}",
            *(f"note           {note}" for note in self.notes),
            f"engine         {self.paths.engine}",
        ]


def build_bundle(job: BuildJob, progress: Progress) -> Iterator[EngineReport]:
    """Build an engine of every graph in a bundle; one that is there and fits is left as it is.

    Args:
        job: what to build.
        progress: told the per cent of the graph at hand.

    Yields:
        What became of each graph, as soon as it is done.

    Raises:
        OptionFault: the size is missing or not the bundle's, or DLA or workspace cannot be had.
        BundleFault: the bundle is damaged, or TensorRT does not take its graphs.
        EngineFault: TensorRT is missing or not supported, finds no engine, an engine is there that does not fit,
            or the engine cannot be written.
    """
    bundle = open_bundle(job.bundle).for_gpu()
    size = _frame_size(bundle, job.size)
    library = load_library(job.target)
    device, free_bytes = read_device()
    for name, graph in bundle.manifest.graphs.items():
        if job.graphs is not None and name not in job.graphs:
            continue
        source = Source(
            network=bundle.manifest.network,
            graph=name,
            graph_sha256=graph.sha256,
            precision=bundle.manifest.precision,
            frame_size=size,
            most_sections=job.most_sections if name == "band" else None,
        )
        paths = engine_paths(
            job.output or bundle.directory / "engines",
            job.target,
            name,
            size,
            job.dla_core,
            precision=bundle.manifest.precision,
        )
        if not job.rebuild and (paths.engine.exists() or paths.sidecar.exists()):
            here = describe_builder(job.target, library.release, device)
            sidecar, notes = check_engine(paths, source, here)
            yield EngineReport(paths, sidecar, False, _notes(bundle, notes))
            continue
        request = Request(
            target=job.target,
            version=library.version,
            precision=bundle.manifest.precision,
            opset=graph.opset,
            workspace_bytes=fit_workspace(free_bytes, job.workspace_mib),
            dla_core=job.dla_core,
        )
        yield _build(job, bundle, graph, source, paths, library, device, plan_build(request), progress)


def _build(
    job: BuildJob,
    bundle: Bundle,
    graph: Graph,
    source: Source,
    paths: EnginePaths,
    library: Library,
    device: Device,
    plan: Plan,
    progress: Progress,
) -> EngineReport:
    sizes = Sizes(source.frame_size)
    if source.most_sections is not None:
        sizes = Sizes(source.frame_size, bundle.representation.cell_px, source.most_sections)
    cache_path = job.timing_cache or paths.timing_cache
    check_writable(paths.engine.parent)  # before the minutes that a build takes on a device
    start_s = time.monotonic()
    timings = _read_timing_cache(cache_path) if plan.timing_cache else b""
    built, plan = _build_with_less(
        library, (bundle.directory / graph.file).read_bytes(), plan, sizes, timings, progress
    )
    sidecar = Sidecar(
        source=source,
        builder=describe_builder(job.target, library.release, device),
        settings=Settings(
            rule=plan.rule,
            network_flags=plan.network_flags,
            builder_flags=plan.builder_flags,
            cleared_flags=plan.cleared_flags,
            workspace_bytes=plan.workspace_bytes,
            dla_core=plan.dla_core,
        ),
        engine_bytes=len(built.engine),
        engine_sha256=hashlib.sha256(built.engine).hexdigest(),
        built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        build_s=round(time.monotonic() - start_s, 1),
        tremorscope=importlib.metadata.version("tremorscope"),
    ).sealed()
    write_engine(paths, built.engine, sidecar)
    if built.timing_cache:
        write_whole(cache_path, built.timing_cache)
    return EngineReport(paths, sidecar, True, _notes(bundle, plan.notes))


def _notes(bundle: Bundle, others: tuple[str, ...]) -> tuple[str, ...]:
    return (*((bundle.why,) if bundle.why else ()), *others)


def _build_with_less(
    library: Library, graph: bytes, plan: Plan, sizes: Sizes, timings: bytes, progress: Progress
) -> tuple[Built, Plan]:
    """Build, with half the scratch memory each time that memory is short; returns also what was asked for at last.

    On a Jetson scratch memory is what the system and the cameras lack, and allocations fail before it is all gone.
    """
    try:
        built = build_engine(
            library,
            graph,
            plan,
            lambda name, shape: input_shape(name, shape, sizes),
            timing_cache=timings,
            progress=progress,
        )
    except BuildMemoryFault as fault:
        smaller = plan.with_half_workspace(fault.what)
        if smaller is None:
            raise
        log.warning("%s", smaller.notes[-1])
        return _build_with_less(library, graph, smaller, sizes, timings, progress)
    return built, plan


def _read_timing_cache(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise OptionFault(
            f"{path}: cannot be read as a timing cache ({(error.strerror or '').lower()})",
            remedy="name a file with --timing-cache, which need not be there yet",
        ) from None


def _frame_size(bundle: Bundle, asked: FrameSize | None) -> FrameSize:
    made_for = bundle.manifest.frame_size
    if made_for is None:
        if asked is None:
            raise OptionFault(
                f"{bundle.directory}: the bundle is for any size, and an engine is for one",
                remedy="name it, e.g. --size 1920x1080",
            )
        return asked
    if asked is not None and asked != made_for:
        raise OptionFault(
            f"--size {asked.width_px}x{asked.height_px}: the bundle is for "
            f"{made_for.width_px}x{made_for.height_px} px",
            remedy="leave --size out, or use a bundle for any size",
        )
    return made_for
