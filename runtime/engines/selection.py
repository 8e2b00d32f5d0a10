"""Choice of the runner that computes the steps on this machine: ``runtime`` in configurations."""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.plan import Target
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.frames.buffers import Allocator, CopyAccount, allocate_host
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.gpu.protocol import Gpu

RuntimeChoice = Literal["auto", "onnxruntime", "tensorrt"]
RuntimeName = Literal["onnxruntime", "tensorrt"]


class Runtime(Protocol):
    """Runs the graphs of one bundle on frames of one size."""

    @property
    def name(self) -> RuntimeName:
        """Name of the runner."""

    @property
    def bundle(self) -> Bundle:
        """Bundle that it runs: the one that was asked for or, on a GPU, its twin in FP16."""

    @property
    def description(self) -> str:
        """Runner and device in a few words, e.g. ``TensorRT 10.3.0 on Orin``."""

    @property
    def why(self) -> str:
        """Reason for the choice, in one line."""

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Reasons why a faster runner was not taken; empty where none is faster."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks that do not stop it, e.g. that the power mode is another than at building."""

    @property
    def allocate(self) -> Allocator:
        """Makes the memory of frames: give it to every ring whose frames the engines read or write."""

    @property
    def gpu(self) -> Gpu | None:
        """The GPU whose memory ``allocate`` maps, for cameras that write there by themselves; None on the CPU."""

    def open_pairwise(self) -> PairwiseEngine:
        """Load the ``pairwise`` graph; the first step is as quick as the rest. Each call opens another.

        Raises:
            BundleFault: the bundle has none, or it is not for frames of this size.
            EngineFault: it cannot be loaded or run.
        """

    def open_band(self) -> BandEngine:
        """Load the ``band`` graph; its state is zero. Each call opens another, with a state of its own.

        Raises:
            BundleFault: the bundle has none, or it is not for frames of this size.
            EngineFault: it cannot be loaded or run.
        """

    def give_back(self, engine: PairwiseEngine | BandEngine) -> None:
        """Free the memory of one engine that was opened here; it must not be used any more.

        Raises:
            EngineFault: the GPU failed, or hangs.
        """

    def close(self) -> None:
        """Give engines and device back; they must not be used any more. Closing twice is harmless.

        Memory from ``allocate`` that is in use still stays as it is, until the process ends or this is called again.
        """


def open_runtime(
    choice: RuntimeChoice,
    bundle: Bundle,
    size_px: tuple[int, int],
    *,
    threads: int | None = None,
    engines: Path | None = None,
    graphs: Collection[GraphName] | None = None,
    account: CopyAccount | None = None,
) -> Runtime:
    """Open the runtime of a bundle on this machine.

    Args:
        choice: ``auto`` takes the fastest that is complete and states why others were not taken; others insist.
        bundle: what to run; TensorRT runs its twin in FP16, where it has one (`Bundle.for_gpu`).
        size_px: width and height of every frame in pixels.
        threads: threads of the CPU that compute a step, in ONNX Runtime alone; None takes one a core.
        engines: directory of built engines; None takes ``engines`` within the bundle, as `tremorscope build` does.
        graphs: those of the bundle that will be opened; None is all of them.
        account: takes note of frames that the engines cannot reach where they lie, and have to copy.

    Raises:
        EngineFault: the runner that was insisted on cannot be used; the message names all that is missing.
    """
    width_px, height_px = size_px
    asked = "the configuration asks for it"
    if choice == "onnxruntime":
        return _OnnxRuntime(bundle, width_px, height_px, threads, why=asked)
    wanted = tuple(bundle.manifest.graphs) if graphs is None else tuple(graphs)
    reasons: list[str] = []
    least_px = 16
    if min(width_px, height_px) < least_px:
        reasons.append(f"frames of {width_px}x{height_px} px are below {least_px} px: use a larger picture")
    for target in _targets() if not reasons else ():
        size = FrameSize(width_px=width_px, height_px=height_px)
        why = asked if choice == "tensorrt" else "the fastest that this machine has"
        found = _open_tensorrt(target, bundle, size, wanted, engines, account, why)
        if not isinstance(found, tuple):
            return found
        reasons += [reason for reason in found if reason not in reasons]
    if choice == "tensorrt":
        raise EngineFault(
            f"TensorRT cannot be used here ({'; '.join(reasons)})", remedy="mend that, or choose auto"
        )
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    why = f"TensorRT cannot be used here: {reasons[0]}{more}"
    return _OnnxRuntime(bundle, width_px, height_px, threads, why=why, passed_over=tuple(reasons))


def for_live(runtime: Runtime) -> Runtime:
    """The runtime of a live picture: on the CPU, where no network was named, that of the lightest.

    Raises:
        BundleFault: the lightest one is damaged.
    """
    if not isinstance(runtime, _OnnxRuntime):
        return runtime
    bundle = runtime.bundle.for_live_cpu()
    return replace(runtime, bundle=bundle, why=f"{runtime.why}; {bundle.why}" if bundle.why else runtime.why)


@contextmanager
def closing_runtime(runtime: Runtime) -> Iterator[Runtime]:
    """Close the runtime at the end, also after an exception."""
    try:
        yield runtime
    finally:
        runtime.close()


def _targets() -> tuple[Target, ...]:
    """Kinds of TensorRT to try: TensorRT for RTX only where it is installed, which it is on few machines."""
    if any(importlib.util.find_spec(name) for name in ("tensorrt_rtx", "tensorrt_rtx_bindings")):
        return "tensorrt", "tensorrt-rtx"
    return ("tensorrt",)


def _open_tensorrt(
    target: Target,
    bundle: Bundle,
    size: FrameSize,
    graphs: tuple[GraphName, ...],
    engines: Path | None,
    account: CopyAccount | None,
    why: str,
) -> Runtime | tuple[str, ...]:
    """Open a TensorRT runtime; returns every reason why it cannot be had where that fails."""
    from tremorscope.runtime.engines.tensorrt.runtime import TensorrtRuntime, look_for_tensorrt

    try:
        bundle = bundle.for_gpu()
        why = f"{why}; in {bundle.manifest.precision.upper()}: {bundle.why}" if bundle.why else why
        found = look_for_tensorrt(target, bundle, size, graphs, engines)
        if found.missing:
            return found.missing
        from tremorscope.runtime.gpu.pycuda_gpu import open_gpu

        gpu = open_gpu()
        try:
            return TensorrtRuntime(gpu, found, bundle, size, why, account)
        except BaseException:
            with suppress(LeaseError):
                gpu.close()
            raise
    except Fault as fault:
        return (str(fault),)
    except MemoryError as error:
        return (f"{error}: stop other programs, or use a smaller picture",)


@dataclass(frozen=True)
class _OnnxRuntime:
    """Steps on the CPU."""

    bundle: Bundle
    width_px: int
    height_px: int
    threads: int | None
    why: str
    passed_over: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    name: RuntimeName = "onnxruntime"
    allocate: Allocator = field(default=allocate_host)
    gpu: Gpu | None = None

    @property
    def description(self) -> str:
        from tremorscope.runtime.engines.onnx.graph import RELEASE

        return f"ONNX Runtime {RELEASE} on the CPU"

    def open_pairwise(self) -> PairwiseEngine:
        from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(
            self.bundle.cpu_graph_path("pairwise"),
            width_px=self.width_px,
            height_px=self.height_px,
            threads=self.threads,
        )

    def open_band(self) -> BandEngine:
        from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine

        return OnnxRuntimeBandEngine(
            self.bundle.cpu_graph_path("band"),
            self.bundle.representation,
            width_px=self.width_px,
            height_px=self.height_px,
            threads=self.threads,
            allocate=self.allocate,
        )

    def give_back(self, engine: PairwiseEngine | BandEngine) -> None:
        """Nothing is held but memory, which goes with the engine."""

    def close(self) -> None:
        """Nothing is held but memory."""
