"""One engine's steps on the GPU: addresses, launch, graphs, a bounded wait, and the time that each took."""

from __future__ import annotations

from collections import OrderedDict

from runtime.cuda import Gpu, Graph, Stream, wait_for
from runtime.engines.tensorrt_load import LoadedEngine, Shape
from runtime.errors import EngineFault

MOST_GRAPHS = 32
"""Graphs that are kept: one for each combination of slots, which rotate; a graph of the shipped networks is below
a megabyte."""
LONGEST_STEP_S = 5.0
"""A step that takes longer has hung: the largest network at full HD takes tenths of a second on any Jetson."""
_RESTART = "restart the service; if it comes again, look for the GPU's own messages with dmesg"

Addresses = tuple[int, ...]


class StepContext:
    """Runs an engine step by step; one thread at a time.

    Addresses that never change are bound once. Those that change with the frames are given to each step; where
    the GPU captures graphs, a combination of them that comes again is captured, and launched as one from then on.
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
        self._graphs: OrderedDict[Addresses, Graph] = OrderedDict()
        self._seen: OrderedDict[Addresses, None] = OrderedDict()
        self._hung = False
        self.captures = gpu.captures
        """Whether graphs are captured: until one fails to be."""
        self.last_gpu_ms = 0.0
        """What the latest step took on the GPU."""

    @property
    def stream(self) -> Stream:
        """Where the steps run, for what must come before the next one."""
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

    def run(self, addresses: Addresses) -> None:
        """Run a step and wait for it.

        Raises:
            EngineFault: TensorRT or the GPU failed, or did not end within ``LONGEST_STEP_S``.
        """
        if self._hung:
            raise self._hang()
        graph = self._graphs.get(addresses)
        self._started.record(self._stream)
        if graph is None:
            for name, address in zip(self._varying, addresses, strict=True):
                self.bind(name, address)
            self._enqueue()
        else:
            self._graphs.move_to_end(addresses)
            graph.launch(self._stream)
        self._ended.record(self._stream)
        if not wait_for(self._ended, expected_s=self.last_gpu_ms / 1e3, limit_s=LONGEST_STEP_S):
            # The GPU may write into the frames for as long as it likes: nothing may run here any more.
            self._hung = True
            raise self._hang()
        self.last_gpu_ms = self._ended.ms_since(self._started)
        if graph is None and self.captures:
            self._consider(addresses)

    def forget_graphs(self) -> None:
        """Give all graphs back: the addresses that they know are not valid any more."""
        while self._graphs:
            _, graph = self._graphs.popitem()
            graph.free()
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
            self._seen[addresses] = None
            if len(self._seen) > 4 * MOST_GRAPHS:
                self._seen.popitem(last=False)
            return
        del self._seen[addresses]
        try:
            # The step that just ran, with these addresses, did what TensorRT puts off to the first run.
            self._graphs[addresses] = self._gpu.capture(self._stream, self._enqueue)
        except EngineFault:
            self.captures = (
                False  # some layers cannot be captured; each step goes on being launched layer by layer
            )
            self.forget_graphs()
            return
        if len(self._graphs) > MOST_GRAPHS:
            _, oldest = self._graphs.popitem(last=False)
            oldest.free()

    def _refusal(self, what: str) -> EngineFault:
        library = self._loaded.library
        return EngineFault(f"{self._loaded.path}: {library} {what} ({library.log.reason()})", remedy=_RESTART)

    def _hang(self) -> EngineFault:
        return EngineFault(
            f"{self._loaded.path}: a step did not end within {LONGEST_STEP_S:g} s: the GPU hangs",
            remedy=_RESTART,
        )
