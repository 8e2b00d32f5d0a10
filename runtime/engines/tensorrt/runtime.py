"""TensorRT as a runtime: its availability on this machine for a bundle, and the opened engines."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.engine_file import (
    EnginePaths,
    EngineSource,
    check_engine,
    describe_builder,
    engine_paths,
    read_sidecar,
)
from tremorscope.runtime.engines.tensorrt.library import Library, load_engine, load_library
from tremorscope.runtime.engines.tensorrt.plan import Target
from tremorscope.runtime.engines.tensorrt.runners import TensorrtBandEngine, TensorrtEngine
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.frames.buffers import Allocator, CopyAccount
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.device import Device, read_device
from tremorscope.runtime.gpu.protocol import Gpu
from tremorscope.runtime.gpu.pycuda_gpu import load_pycuda

T = TypeVar("T")


@dataclass(frozen=True)
class TensorrtAvailability:
    """TensorRT and its engines for a bundle, as found on this machine."""

    library: Library | None
    paths: dict[GraphName, EnginePaths]
    missing: tuple[str, ...]
    """Missing parts, beginning with the GPU, each with its remedy."""
    unfit: tuple[GraphName, ...]
    """Graphs whose engine is missing, or does not fit where GPU and library are there to compare it with."""
    notes: tuple[str, ...]
    """Remarks that do not stop it."""

    @property
    def lacks_engines_alone(self) -> bool:
        """True where building the engines would be enough."""
        return bool(self.unfit) and len(self.missing) == len(self.unfit)


def look_for_tensorrt(
    target: Target, bundle: Bundle, size: FrameSize, graphs: Collection[GraphName], engines: Path | None
) -> TensorrtAvailability:
    """Check that engines of these graphs can be run here; nothing is opened yet.

    Args:
        target: TensorRT, or TensorRT for RTX.
        bundle: to run.
        size: of every frame.
        graphs: those of the bundle that are needed.
        engines: directory of built engines; None takes ``engines`` within the bundle.
    """
    missing: list[str] = []
    device, _ = read_device()
    if device.gpu is None:
        missing.append("no GPU answers: check that the NVIDIA driver is loaded")
    library = _unless_missing(lambda: load_library(target), missing)
    _unless_missing(load_pycuda, missing)
    directory = engines or bundle.directory / "engines"
    precision = bundle.manifest.precision
    paths = {graph: engine_paths(directory, target, graph, size, precision=precision) for graph in graphs}
    unfit: list[GraphName] = []
    notes: list[str] = []
    for graph in graphs:
        check = partial(_check, bundle, graph, size, paths[graph], library, device, target)
        remarks = _unless_missing(check, missing)
        if remarks is None:
            unfit.append(graph)
        else:
            notes += remarks
    return TensorrtAvailability(library, paths, tuple(missing), tuple(unfit), tuple(notes))


def _unless_missing(look: Callable[[], T], missing: list[str]) -> T | None:
    """Result of a look-up; None, and one more reason in ``missing``, where it fails."""
    try:
        return look()
    except Fault as fault:
        missing.append(str(fault))
        return None


def _check(
    bundle: Bundle,
    graph: GraphName,
    size: FrameSize,
    paths: EnginePaths,
    library: Library | None,
    device: Device,
    target: Target,
) -> tuple[str, ...]:
    bundle.graph_path(graph)
    if not paths.engine.exists() and not paths.sidecar.exists():
        option = "" if target == "tensorrt" else f" --target {target}"
        if paths.engine.parent != bundle.directory / "engines":
            option += f" -o {paths.engine.parent}"
        raise EngineFault(
            f"{paths.engine}: no engine there",
            remedy=f"tremorscope build {bundle.named} --size {size.width_px}x{size.height_px}{option}",
        )
    if library is None or device.gpu is None:
        return ()  # the builder to compare it with is not known
    source = EngineSource(
        network=bundle.manifest.network,
        graph=graph,
        graph_sha256=bundle.manifest.graphs[graph].sha256,
        precision=bundle.manifest.precision,
        frame_size=size,
        # As many as it was built for: a filter that needs more is refused when it comes.
        most_sections=read_sidecar(paths.sidecar).source.most_sections,
    )
    _, notes = check_engine(paths, source, describe_builder(target, library.release, device))
    return notes


class TensorrtRuntime:
    """See `runtime.engines.selection.Runtime`."""

    def __init__(
        self,
        gpu: Gpu,
        found: TensorrtAvailability,
        bundle: Bundle,
        size: FrameSize,
        why: str,
        account: CopyAccount | None = None,
    ) -> None:
        """Load and warm up an engine of every graph that was found.

        Raises:
            EngineFault: one cannot be loaded or run.
            MemoryError: there is no room for it.
        """
        assert found.library is not None
        assert not found.missing
        self.name: Literal["tensorrt"] = "tensorrt"
        self.description = f"{found.library} on {gpu.info.name}"
        self.why = why
        self.passed_over: tuple[str, ...] = ()
        self._gpu, self._found, self._bundle, self._size = gpu, found, bundle, size
        self._library, self._account = found.library, account
        self._opened: list[TensorrtEngine | TensorrtBandEngine] = []
        self._ready: dict[GraphName, TensorrtEngine | TensorrtBandEngine] = {}
        try:
            for graph in found.paths:
                self._ready[graph] = self._open(graph)
        except BaseException:
            self.close()  # a fallback to the CPU must not keep the GPU's memory
            raise

    @property
    def bundle(self) -> Bundle:
        """Bundle that it runs."""
        return self._bundle

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that do not stop it; once steps were made, also the use of CUDA graphs."""
        used = [engine.graph_use for engine in self._opened if engine.graph_use.steps]
        return (*self._found.notes, *dict.fromkeys(str(use) for use in used))

    @property
    def allocate(self) -> Allocator:
        """Makes mapped, page-locked memory."""
        return self._gpu.allocate_mapped

    @property
    def gpu(self) -> Gpu:
        """The GPU, for cameras that write by themselves into memory that it sees."""
        return self._gpu

    def open_pairwise(self) -> PairwiseEngine:
        """An engine of the ``pairwise`` graph, warmed up."""
        engine = self._ready.pop("pairwise", None) or self._open("pairwise")
        assert isinstance(engine, TensorrtEngine)
        return engine

    def open_band(self) -> BandEngine:
        """An engine of the ``band`` graph, warmed up, its state zero."""
        engine = self._ready.pop("band", None) or self._open("band")
        assert isinstance(engine, TensorrtBandEngine)
        return engine

    def give_back(self, engine: PairwiseEngine | BandEngine) -> None:
        """Free the memory of one engine that was opened here; it must not be used any more."""
        assert isinstance(engine, (TensorrtEngine, TensorrtBandEngine))
        self._opened.remove(engine)
        engine.close()

    def close(self) -> None:
        """Give engines, memory and context back; closing again gives back what was in use the time before."""
        while self._opened:
            self._opened.pop().close()
        self._ready.clear()
        with suppress(LeaseError):
            self._gpu.close()

    def _open(self, graph: GraphName) -> TensorrtEngine | TensorrtBandEngine:
        if graph not in self._found.paths:
            self._bundle.graph_path(graph)
            raise EngineFault(
                f"the {graph} engine was not asked for when the runtime was opened",
                remedy="report this as a mistake in the program",
            )
        sizes = {"width_px": self._size.width_px, "height_px": self._size.height_px}
        with self._gpu.current():
            loaded = load_engine(self._library, self._found.paths[graph].engine)
        engine: TensorrtEngine | TensorrtBandEngine
        if graph == "pairwise":
            engine = TensorrtEngine(self._gpu, loaded, **sizes, account=self._account)
        else:
            of = self._bundle.representation
            engine = TensorrtBandEngine(self._gpu, loaded, of, **sizes, account=self._account)
        self._opened.append(engine)
        return engine
