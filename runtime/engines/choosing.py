"""Which runner computes the steps on this machine, and why: the choice named ``runtime`` in configurations."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, get_args

from runtime.buffers import Allocator, allocate_host
from runtime.engines import BandEngine, PairwiseEngine
from runtime.engines.bundle import Bundle
from runtime.errors import EngineFault

RuntimeChoice = Literal["auto", "onnxruntime", "tensorrt"]
RUNTIME_CHOICES: tuple[RuntimeChoice, ...] = get_args(RuntimeChoice)
RuntimeName = Literal["onnxruntime", "tensorrt"]


class Runtime(Protocol):
    """Runs the graphs of one bundle on frames of one size."""

    @property
    def name(self) -> RuntimeName:
        """Which one it is."""

    @property
    def description(self) -> str:
        """It and what it runs on, for a person, e.g. ``TensorRT 10.3.0 on Orin``."""

    @property
    def why(self) -> str:
        """Why this one was chosen, in one line for a person."""

    @property
    def passed_over(self) -> tuple[str, ...]:
        """Every reason why a faster runner was not taken, one a line; empty where none is faster."""

    @property
    def allocate(self) -> Allocator:
        """Makes the memory of frames: give it to every ring whose frames the engines read or write."""

    def open_pairwise(self) -> PairwiseEngine:
        """Load the ``pairwise`` graph and run it a few times, so that the first step is as quick as the rest.

        Raises:
            BundleFault: the bundle has none, or it is not for frames of this size.
            EngineFault: it cannot be loaded or run.
        """

    def open_band(self) -> BandEngine:
        """Load the ``band`` graph and run it a few times; its state is zero.

        Raises:
            BundleFault: the bundle has none, or it is not for frames of this size.
            EngineFault: it cannot be loaded or run.
        """

    def close(self) -> None:
        """Give engines and device back; let go of the rings first. Closing twice is harmless.

        Raises:
            LeaseError: memory from ``allocate`` is in use still.
        """


def open_runtime(
    choice: RuntimeChoice,
    bundle: Bundle,
    *,
    width_px: int,
    height_px: int,
    threads: int | None = None,
    engines: Path | None = None,
    build: bool = False,
) -> Runtime:
    """The runtime of a bundle on this machine.

    Args:
        choice: ``auto`` takes the fastest that is whole and says why it passed over others; any other insists.
        bundle: what to run.
        width_px: width of every frame in pixels.
        height_px: height of every frame in pixels.
        threads: how many threads of the CPU compute a step; None takes one a core. Of ONNX Runtime alone.
        engines: directory of built engines; None takes ``engines`` within the bundle, as `tremorscope build` does.
        build: build an engine that is missing or does not fit, which takes minutes, instead of refusing it.

    Raises:
        EngineFault: what was insisted on is not to be had; the message says all that is missing.
    """
    del engines, build
    if choice == "tensorrt":
        raise EngineFault("this release runs no TensorRT engines", remedy="choose auto or onnxruntime")
    why = "the configuration asks for it" if choice == "onnxruntime" else "it runs on every machine"
    return _OnnxRuntime(bundle, width_px, height_px, threads, why=why)


@dataclass(frozen=True)
class _OnnxRuntime:
    """Steps on the CPU."""

    bundle: Bundle
    width_px: int
    height_px: int
    threads: int | None
    why: str
    passed_over: tuple[str, ...] = ()
    name: RuntimeName = "onnxruntime"
    allocate: Allocator = field(default=allocate_host)

    @property
    def description(self) -> str:
        from runtime.engines.onnx_graph import RELEASE

        return f"ONNX Runtime {RELEASE} on the CPU"

    def open_pairwise(self) -> PairwiseEngine:
        from runtime.engines.onnx_runtime import OnnxRuntimeEngine

        return OnnxRuntimeEngine(
            self.bundle.graph_path("pairwise"),
            width_px=self.width_px,
            height_px=self.height_px,
            threads=self.threads,
        )

    def open_band(self) -> BandEngine:
        from runtime.engines.onnx_runtime import OnnxRuntimeBandEngine

        return OnnxRuntimeBandEngine(
            self.bundle.graph_path("band"),
            self.bundle.representation,
            width_px=self.width_px,
            height_px=self.height_px,
            threads=self.threads,
            allocate=self.allocate,
        )

    def close(self) -> None:
        """Nothing is held but memory."""
