"""How long each layer of an engine takes, as TensorRT's own profiler tells it.

Within this module a variable's name tells its TensorRT class, as in `tensorrt_load`.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import Any

import numpy as np

from runtime.cuda import Gpu, wait_for
from runtime.engines.tensorrt_load import LoadedEngine
from runtime.engines.tensorrt_step import LONGEST_STEP_S
from runtime.errors import EngineFault


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

    with gpu.current(), ExitStack() as undo:
        context = loaded.engine.create_execution_context()
        if context is None:
            raise _fault(loaded, "has no memory to run it")
        times_of = Times()
        context.profiler = times_of
        _bind(gpu, loaded, context, undo)
        stream, ended = gpu.stream(), gpu.event()
        undo.callback(stream.free)
        undo.callback(ended.free)
        for _ in range(runs + 1):
            if not context.execute_async_v3(stream.handle):
                raise _fault(loaded, "failed to run a step")
            ended.record(stream)
            if not wait_for(ended, expected_s=0.0, limit_s=LONGEST_STEP_S):
                raise _fault(loaded, f"did not end a step within {LONGEST_STEP_S:g} s")
        context.profiler = None
    return {name: float(np.median(each[1:] or each)) for name, each in times.items()}


def _bind(gpu: Gpu, loaded: LoadedEngine, context: Any, undo: ExitStack) -> None:
    """Give every input and output memory of its largest size: noise for frames, ones for all else."""
    random = np.random.default_rng(0)
    for port in sorted(loaded.tensors.values(), key=lambda each: not each.is_input):
        shape = port.largest
        if port.is_input and -1 in port.shape:
            if not context.set_input_shape(port.name, shape):
                raise _fault(loaded, f"does not take {port.name} of shape {list(shape)}")
        elif -1 in shape:
            shape = tuple(int(length) for length in context.get_tensor_shape(port.name))
        values = random.integers(0, 256, shape, np.uint8) if port.dtype == np.uint8 else np.ones(shape)
        filled = values.astype(port.dtype)
        place = gpu.allocate_device(math.prod(shape) * port.dtype.itemsize)
        undo.callback(place.free)
        gpu.upload(filled, place)
        if not context.set_tensor_address(port.name, place.address):
            raise _fault(loaded, f"does not take an address for {port.name}")


def _fault(loaded: LoadedEngine, what: str) -> EngineFault:
    library = loaded.library
    return EngineFault(
        f"{loaded.path}: {library} {what} ({library.log.reason()})",
        remedy="stop other programs, and try again",
    )
