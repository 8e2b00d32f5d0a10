"""Steps of one engine on the GPU: addresses, launch, CUDA graphs, bounded wait, and timing."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

from tremorscope.runtime.engines.tensorrt.library import LoadedEngine, Shape
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.protocol import CudaGraph, Gpu, Stream, wait_for

MOST_GRAPHS = 8
"""Graphs that are kept: one for each picture, and in band mode for each of the two places of the state. Where more
would be needed none is worth it: capturing costs many steps, and slots would have to come back for it."""
LEAST_ENQUEUE_SHARE = 0.05
"""Share of a step that it must take the CPU to put it into the stream layer by layer, for a graph to pay."""
LONGEST_STEP_S = 5.0
"""A step that takes longer has hung: the largest network at full HD takes tenths of a second on any Jetson."""
_RESTART = "restart the service; if it comes again, look for the GPU's own messages with dmesg"

Addresses = tuple[int, ...]


@dataclass
class GraphUse:
    """Counts of steps and CUDA graphs."""

    steps: int = 0
    """All steps since the warm-up."""
    launched: int = 0
    """Steps that were launched as a graph."""
    captured: int = 0
    """Graphs that were made, which costs many steps each."""
    why_not: str = ""
    """Reason why none is captured any more; empty while they are."""

    def __str__(self) -> str:
        if self.why_not:
            return f"no CUDA graphs: {self.why_not}"
        return f"{self.launched} of {self.steps} steps launched as CUDA graphs, {self.captured} captured"


class StepContext:
    """Execution context of an engine, for one thread at a time: ``begin``, put inputs into ``stream``, ``run``.

    Addresses that never change are bound once. The few that change from step to step are given to each; where the GPU
    captures graphs and a graph pays, a combination of them that comes again is captured, and launched as one from then
    on. Either all combinations have a graph, or none is captured any more.
    """

    def __init__(self, gpu: Gpu, loaded: LoadedEngine, varying: tuple[str, ...]) -> None:
        """Make the context, within ``Gpu.current``.

        Args:
            gpu: where it runs.
            loaded: the engine.
            varying: the inputs and outputs whose addresses are given to each step, in this order.

        Raises:
            EngineFault: there is no memory for the context.
        """
        self._gpu, self._loaded, self._varying = gpu, loaded, varying
        engine = loaded.engine
        context = engine.create_execution_context()
        if context is None:
            raise EngineFault(
                f"{loaded.path}: no memory to run it ({loaded.library.log.reason()})",
                remedy="stop other programs, or build for a smaller --size",
            )
        self._context = context
        self._stream = gpu.stream()
        self._started, self._ended = gpu.event(), gpu.event()
        self._bound: dict[str, int] = {}
        self._graphs: dict[Addresses, CudaGraph] = {}
        self._seen: set[Addresses] = set()
        self._hung = self._is_warm = False
        self._enqueue_ms = self._least_ms = math.inf
        self.use = GraphUse(why_not="" if gpu.captures else "cuda-bindings are not installed")
        """Use of CUDA graphs."""
        self.last_gpu_ms = 0.0
        """Time of the latest step on the GPU."""

    @property
    def stream(self) -> Stream:
        """CUDA stream of the steps, for work that must come before the next one."""
        return self._stream

    @property
    def graphs(self) -> int:
        """Graphs that are kept at present."""
        return len(self._graphs)

    def bind(self, name: str, address: int) -> None:
        """Let an input or output lie at an address from now on.

        Raises:
            EngineFault: TensorRT refuses it.
        """
        if self._bound.get(name) == address:
            return
        context = self._context
        if not context.set_tensor_address(name, address):
            raise self._refusal(f"does not take an address for {name}")
        self._bound[name] = address

    def bind_fixed(self, name: str, address: int) -> None:
        """Like ``bind``, for what is not given to each step: graphs know the old address and are dropped."""
        if self._bound.get(name) != address:
            self.forget_graphs()
        self.bind(name, address)

    def set_shape(self, name: str, shape: Shape) -> None:
        """State the size of an input that has -1.

        Raises:
            EngineFault: the engine was not built for it.
        """
        self.forget_graphs()
        context = self._context
        if not context.set_input_shape(name, shape):
            raise self._refusal(f"does not take {name} of shape {list(shape)}")

    def begin(self) -> None:
        """Start a step: what is put into ``stream`` from now on is part of it.

        Raises:
            EngineFault: a step hangs.
        """
        if self._hung:
            raise self._hang()
        self._started.record(self._stream)

    def run(self, addresses: Addresses) -> None:
        """Run the step that has begun, and wait for it.

        Raises:
            EngineFault: TensorRT or the GPU failed, or did not end within ``LONGEST_STEP_S``.
        """
        graph = self._graphs.get(addresses)
        if graph is None:
            for name, address in zip(self._varying, addresses, strict=True):
                self.bind(name, address)
            begin_s = time.perf_counter()
            self._enqueue()
            self._enqueue_ms = min(self._enqueue_ms, 1e3 * (time.perf_counter() - begin_s))
        else:
            graph.launch(self._stream)
        self._ended.record(self._stream)
        if not wait_for(self._ended, expected_s=self.last_gpu_ms / 1e3, limit_s=LONGEST_STEP_S):
            # The GPU may write into the frames for as long as it likes: nothing may run here any more.
            self._hung = True
            raise self._hang()
        self.last_gpu_ms = self._ended.ms_since(self._started)
        if self._is_warm:
            self._least_ms = min(self._least_ms, self.last_gpu_ms)
            self.use.steps += 1
            self.use.launched += graph is not None
            if graph is None and not self.use.why_not:
                self._consider(addresses)

    def end_warm_up(self) -> None:
        """Count steps and their time, and capture graphs, from now on."""
        self._is_warm, self._enqueue_ms = True, math.inf

    def forget_graphs(self) -> None:
        """Give all graphs back: the addresses that they know are not valid any more."""
        while self._graphs:
            self._graphs.popitem()[1].free()
        self._seen.clear()

    def close(self) -> None:
        """Give all of it back, within ``Gpu.current``."""
        self.forget_graphs()
        self._context = None
        for each in (self._started, self._ended, self._stream):
            each.free()

    def _enqueue(self) -> None:
        context = self._context
        if not context.execute_async_v3(self._stream.handle):
            raise self._refusal("failed to run a step")

    def _consider(self, addresses: Addresses) -> None:
        """Capture a combination when it comes for the second time: one that never returns is not worth it."""
        if addresses not in self._seen:
            self._seen.add(addresses)
            if len(self._seen) > MOST_GRAPHS:
                self._give_up(f"there are more than {MOST_GRAPHS} combinations of pictures and states")
            return
        if self._enqueue_ms < LEAST_ENQUEUE_SHARE * self._least_ms:
            self._give_up(
                f"putting a step into the stream takes {self._enqueue_ms:.2g} ms, and the step {self._least_ms:.2g} ms"
            )
            return
        try:
            # The step that just ran, with these addresses, did what TensorRT puts off to the first run.
            self._graphs[addresses] = self._gpu.capture(self._stream, self._enqueue)
            self.use.captured += 1
        except EngineFault as fault:
            self._give_up(f"a step cannot be captured ({fault.what})")

    def _give_up(self, why: str) -> None:
        self.use.why_not = why
        self.forget_graphs()

    def _refusal(self, what: str) -> EngineFault:
        library = self._loaded.library
        return EngineFault(f"{self._loaded.path}: {library} {what} ({library.log.reason()})", remedy=_RESTART)

    def _hang(self) -> EngineFault:
        return EngineFault(
            f"{self._loaded.path}: a step did not end within {LONGEST_STEP_S:g} s: the GPU hangs",
            remedy=_RESTART,
        )
