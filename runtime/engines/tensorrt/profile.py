"""Profiling of an engine by itself: time of each layer, and of steps on either kind of memory.

Within this module a variable's name tells its TensorRT class, as in `tensorrt_load`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from tremorscope.runtime.engines.tensorrt.library import LoadedEngine, Tensor
from tremorscope.runtime.engines.tensorrt.step import LONGEST_STEP_S
from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.protocol import Gpu, wait_for


def layer_times_ms(gpu: Gpu, loaded: LoadedEngine, runs: int) -> dict[str, float]:
    """Median time of each layer by its name, over so many runs after a first, on memory of the GPU's own.

    Layers are those that TensorRT has made of the graph: several nodes are often one. A step takes longer so than
    in use, because the GPU is waited for behind each layer.

    Raises:
        EngineFault: the engine cannot be run, or hangs.
    """
    trt = loaded.library.module
    times: dict[str, list[float]] = {}

    class Times(trt.IProfiler):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)  # pybind refuses a class whose own constructor was not called

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            times.setdefault(layer_name, []).append(ms)

    with _alone(gpu, loaded, mapped=False) as bare:
        bare.time_layers(Times())
        for _ in range(runs + 1):
            bare.step_ms()
        bare.time_layers(None)
    return {name: float(np.median(each[1:] or each)) for name, each in times.items()}


def step_times_ms(gpu: Gpu, loaded: LoadedEngine, runs: int) -> tuple[float, float]:
    """Median of a step on the GPU with frames in mapped memory, and in the GPU's own, in turns.

    Raises:
        EngineFault: the engine cannot be run, or hangs.
    """
    with _alone(gpu, loaded, mapped=True) as on_mapped, _alone(gpu, loaded, mapped=False) as on_device:
        times_ms = [(on_mapped.step_ms(), on_device.step_ms()) for _ in range(runs + 2)][2:]
    mapped_ms, device_ms = (float(each) for each in np.median(times_ms, axis=0))
    return mapped_ms, device_ms


class _BareContext:
    """A context with memory of its own for every input and output."""

    def __init__(self, gpu: Gpu, loaded: LoadedEngine, undo: ExitStack) -> None:
        self._loaded = loaded
        self._context: Any = loaded.engine.create_execution_context()
        if self._context is None:
            raise self.fault("has no memory to run it")
        self._stream, self._begun, self._ended = gpu.stream(), gpu.event(), gpu.event()
        for each in (self._stream, self._begun, self._ended):
            undo.callback(each.free)

    def time_layers(self, profiler: Any) -> None:
        """Let layers be reported from now on; None ends it."""
        context = self._context
        context.profiler = profiler

    def bind(self, port: Tensor, address: int) -> None:
        """Let an input or output lie at an address."""
        context = self._context
        if not context.set_tensor_address(port.name, address):
            raise self.fault(f"does not take an address for {port.name}")

    def shape_of(self, port: Tensor) -> tuple[int, ...]:
        """The largest that an input or output can be, which holds from now on; inputs first."""
        context = self._context
        if port.is_input:
            if -1 in port.shape and not context.set_input_shape(port.name, port.largest):
                raise self.fault(f"does not take {port.name} of shape {list(port.largest)}")
            return port.largest
        if -1 not in port.shape:
            return port.shape
        return tuple(int(length) for length in context.get_tensor_shape(port.name))

    def step_ms(self) -> float:
        """One step; returns what it took on the GPU."""
        context = self._context
        self._begun.record(self._stream)
        if not context.execute_async_v3(self._stream.handle):
            raise self.fault("failed to run a step")
        self._ended.record(self._stream)
        if not wait_for(self._ended, expected_s=0.0, limit_s=LONGEST_STEP_S):
            raise self.fault(f"did not end a step within {LONGEST_STEP_S:g} s")
        return self._ended.ms_since(self._begun)

    def fault(self, what: str) -> EngineFault:
        """Fault of this engine, with TensorRT's latest error."""
        library = self._loaded.library
        return EngineFault(
            f"{self._loaded.path}: {library} {what} ({library.log.reason()})",
            remedy="stop other programs, and try again",
        )


@contextmanager
def _alone(gpu: Gpu, loaded: LoadedEngine, *, mapped: bool) -> Iterator[_BareContext]:
    """Context on noise for frames and ones for other inputs; frames in mapped memory or in the GPU's own."""
    random = np.random.default_rng(0)
    kept: list[Any] = []
    with gpu.current(), ExitStack() as undo:
        bare = _BareContext(gpu, loaded, undo)
        for port in sorted(loaded.tensors.values(), key=lambda each: not each.is_input):
            shape = bare.shape_of(port)
            is_frame = port.dtype == np.uint8
            values = random.integers(0, 256, shape, np.uint8) if is_frame else np.ones(shape, port.dtype)
            if mapped and is_frame:
                memory = gpu.allocate_mapped(math.prod(shape))
                memory[:] = values.reshape(-1)
                kept.append(memory)
                bare.bind(port, gpu.device_address(memory))
            else:
                place = gpu.allocate_device(values.nbytes)
                undo.callback(place.free)
                gpu.upload(values, place)
                bare.bind(port, place.address)
        yield bare
        kept.clear()
