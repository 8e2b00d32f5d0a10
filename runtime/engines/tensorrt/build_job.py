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

from tremorscope.files import reason_of
from tremorscope.runtime.engines.interface.bundle import Bundle, open_bundle
from tremorscope.runtime.engines.interface.manifest import BundleGraph, FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.build import BuildMemoryFault, BuiltEngine, build_engine
from tremorscope.runtime.engines.tensorrt.engine_file import (
    Builder,
    BuildSettings,
    EnginePaths,
    EngineSource,
    Sidecar,
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
    BuildPlan,
    BuildRequest,
    Target,
    fit_workspace,
    plan_build,
)
from tremorscope.runtime.engines.tensorrt.shapes import EngineSizes, input_shape
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.gpu.device import Device, read_device
from tremorscope.runtime.host.progress import Progress

log = logging.getLogger("tremorscope.build")


@dataclass(frozen=True)
class BuildJob:
    """Bundle, frame size and options of a build."""

    bundle: Path
    """Directory of a bundle, or the name of one that is shipped: without a precision, its twin in FP16 is built."""
    size: FrameSize | None = None
    """Size of the frames; None takes the one that the bundle is for."""
    target: Target = "tensorrt"
    workspace_mib: int | None = None
    """Scratch memory for the builder; None fits it to what is free."""
    timing_cache: Path | None = None
    """None keeps one beside the engines."""
    dla_core: int | None = None
    most_sections: int = 8
    """Most sections of a band filter: its order, per band, and one a notch."""
    output: Path | None = None
    """Directory of the engines; None takes ``engines`` within the bundle."""
    rebuild: bool = False
    graphs: tuple[GraphName, ...] | None = None
    """Graphs of the bundle to build; None builds all."""


@dataclass(frozen=True)
class EngineReport:
    """Result for one graph."""

    paths: EnginePaths
    sidecar: Sidecar
    built: bool
    """False where an engine that fits was there already."""
    notes: tuple[str, ...]

    def lines(self) -> list[str]:
        """The report as lines of text."""
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
        progress: called with the per cent done of the present graph.

    Yields:
        The report on each graph, as soon as it is done.

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
    builder = _BundleBuilder(job, bundle, size, library, device, free_bytes, progress)
    for name, graph in bundle.manifest.graphs.items():
        if job.graphs is None or name in job.graphs:
            yield builder.engine_of(name, graph)


@dataclass(frozen=True)
class _BundleBuilder:
    """Builder of one bundle's engines with one TensorRT on one device."""

    job: BuildJob
    bundle: Bundle
    size: FrameSize
    library: Library
    device: Device
    free_bytes: int
    progress: Progress

    def engine_of(self, name: GraphName, graph: BundleGraph) -> EngineReport:
        """Report on the engine of a graph: the one that is there and fits, or else a new one."""
        job, manifest = self.job, self.bundle.manifest
        source = EngineSource(
            network=manifest.network,
            graph=name,
            graph_sha256=graph.sha256,
            precision=manifest.precision,
            frame_size=self.size,
            most_sections=job.most_sections if name == "band" else None,
        )
        paths = engine_paths(
            job.output or self.bundle.directory / "engines",
            job.target,
            name,
            self.size,
            job.dla_core,
            precision=manifest.precision,
        )
        if not job.rebuild and (paths.engine.exists() or paths.sidecar.exists()):
            sidecar, notes = check_engine(paths, source, self._here())
            return EngineReport(paths, sidecar, False, self._notes(notes))
        return self._build(graph, source, paths)

    def _build(self, graph: BundleGraph, source: EngineSource, paths: EnginePaths) -> EngineReport:
        plan = self._plan(graph)
        sizes = EngineSizes(source.frame_size)
        if source.most_sections is not None:
            sizes = EngineSizes(source.frame_size, self.bundle.representation.cell_px, source.most_sections)
        cache_path = self.job.timing_cache or paths.timing_cache
        check_writable(paths.engine.parent)  # before the minutes that a build takes on a device
        start_s = time.monotonic()
        timings = _read_timing_cache(cache_path) if plan.timing_cache else b""
        content = (self.bundle.directory / graph.file).read_bytes()
        built, plan = _build_with_less(self.library, content, plan, sizes, timings, self.progress)
        sidecar = Sidecar(
            source=source,
            builder=self._here(),
            settings=BuildSettings.model_validate(plan, from_attributes=True),
            engine_bytes=len(built.engine),
            engine_sha256=hashlib.sha256(built.engine).hexdigest(),
            built_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            build_s=round(time.monotonic() - start_s, 1),
            tremorscope=importlib.metadata.version("tremorscope"),
        ).sealed()
        write_engine(paths, built.engine, sidecar)
        if built.timing_cache:
            write_whole(cache_path, built.timing_cache)
        return EngineReport(paths, sidecar, True, self._notes(plan.notes))

    def _plan(self, graph: BundleGraph) -> BuildPlan:
        return plan_build(
            BuildRequest(
                target=self.job.target,
                version=self.library.version,
                precision=self.bundle.manifest.precision,
                opset=graph.opset,
                workspace_bytes=fit_workspace(self.free_bytes, self.job.workspace_mib),
                dla_core=self.job.dla_core,
            )
        )

    def _here(self) -> Builder:
        return describe_builder(self.job.target, self.library.release, self.device)

    def _notes(self, others: tuple[str, ...]) -> tuple[str, ...]:
        return (*((self.bundle.why,) if self.bundle.why else ()), *others)


def _build_with_less(
    library: Library, graph: bytes, plan: BuildPlan, sizes: EngineSizes, timings: bytes, progress: Progress
) -> tuple[BuiltEngine, BuildPlan]:
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
            f"{path}: cannot be read as a timing cache ({reason_of(error)})",
            remedy="name another file with --timing-cache; one that does not exist is created",
        ) from None


def _frame_size(bundle: Bundle, asked: FrameSize | None) -> FrameSize:
    made_for = bundle.manifest.frame_size
    if made_for is None:
        if asked is None:
            raise OptionFault(
                f"{bundle.directory}: the bundle takes frames of any size, and an engine is built for one size",
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
