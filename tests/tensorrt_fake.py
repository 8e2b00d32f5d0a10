"""A TensorRT whose engines compute by ONNX Runtime, on the addresses that they are given and when they are run.

An "engine" is a JSON text that names the ONNX graph; its numbers are therefore those of the ONNX Runtime runner. What
TensorRT demands is demanded: every input and output bound and aligned, every open size stated and within its range.
"""

from __future__ import annotations

import ctypes
import enum
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.manifest import FrameSize, GraphName
from tremorscope.runtime.engines.tensorrt.engine_file import (
    Builder,
    BuildSettings,
    EnginePaths,
    EngineSource,
    Sidecar,
    engine_paths,
    write_engine,
)
from tremorscope.runtime.engines.tensorrt.library import BuildLog, Library
from tremorscope.runtime.engines.tensorrt.plan import Version

Enqueue = Callable[[int, Callable[[], None]], None]
"""Takes a stream's handle and what is to be done in it."""


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    UINT8 = 5


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


def at_once(stream: int, work: Callable[[], None]) -> None:
    """Do the work now: for a stream that is the caller."""
    del stream
    work()


def engine_content(
    graph: Path, width_px: int, height_px: int, cell_px: int = 1, most_sections: int = 8
) -> bytes:
    """What the engine of a graph would hold."""
    sizes = {
        "width": width_px,
        "height": height_px,
        "columns": -(-width_px // cell_px),
        "rows": -(-height_px // cell_px),
    }
    return json.dumps({"graph": str(graph), "sizes": sizes, "most_sections": most_sections}).encode()


class FakeEngine:
    """See ``ICudaEngine``."""

    def __init__(self, content: bytes, log: BuildLog, enqueue: Enqueue, types: Any = None) -> None:
        """Raises ValueError where the content is no engine."""
        stated = json.loads(content)
        self.log, self.enqueue = log, enqueue
        self._types = types or SimpleNamespace(DataType=DataType, TensorIOMode=TensorIOMode)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        for name, size in stated["sizes"].items():
            options.add_free_dimension_override_by_name(name, size)
        self.session = onnxruntime.InferenceSession(
            stated["graph"], options, providers=["CPUExecutionProvider"]
        )
        self.most_sections: int = stated["most_sections"]
        self.inputs = {each.name: each for each in self.session.get_inputs()}
        self.outputs = {each.name: each for each in self.session.get_outputs()}
        self.contexts: list[FakeContext] = []
        self.no_context = False

    @property
    def num_io_tensors(self) -> int:
        return len(self.inputs) + len(self.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.inputs, *self.outputs][index]

    def get_tensor_mode(self, name: str) -> Any:
        modes = self._types.TensorIOMode
        return modes.INPUT if name in self.inputs else modes.OUTPUT

    def get_tensor_dtype(self, name: str) -> Any:
        types = self._types.DataType
        stated = (self.inputs | self.outputs)[name].type
        return {"tensor(uint8)": types.UINT8, "tensor(float)": types.FLOAT}.get(stated, types.HALF)

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        shape = (self.inputs | self.outputs)[name].shape
        return tuple(size if isinstance(size, int) else -1 for size in shape)

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        assert profile_index == 0
        assert name in self.inputs
        return [
            tuple(sections if size == -1 else size for size in self.get_tensor_shape(name))
            for sections in (1, 2, self.most_sections)
        ]

    def create_execution_context(self) -> FakeContext | None:
        if self.no_context:
            self.log.errors.append("out of memory")
            return None
        self.contexts.append(FakeContext(self))
        return self.contexts[-1]


class FakeContext:
    """See ``IExecutionContext``; counts what it is told."""

    def __init__(self, engine: FakeEngine) -> None:
        self._engine = engine
        self._shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}
        self.address_calls: list[str] = []
        self.enqueued = self.executed = 0
        self.refuses: set[str] = set()
        """Names of methods that answer False."""
        self.profiler: Any = None
        self.faults: list[str] = []
        """What went wrong in a stream, where nobody could be told."""

    def set_tensor_address(self, name: str, memory: int) -> bool:
        assert isinstance(memory, int)
        assert memory % 256 == 0, f"{name} at {memory:#x} is not aligned"
        assert self._engine.get_tensor_name is not None
        assert name in self._engine.inputs or name in self._engine.outputs
        self.address_calls.append(name)
        self.addresses[name] = memory
        return "set_tensor_address" not in self.refuses

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        """Of an output whose size follows from those of the inputs: here of the state, after which it is named."""
        return self._shapes[name.removeprefix("next_")]

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        _, _, largest = self._engine.get_tensor_profile_shape(name, 0)
        if "set_input_shape" in self.refuses or any(a > b for a, b in zip(shape, largest, strict=True)):
            return False
        self._shapes[name] = shape
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        engine = self._engine
        if "execute_async_v3" in self.refuses:
            engine.log.errors.append("no room for  a kernel\n")
            return False
        missing = ({*engine.inputs, *engine.outputs} - set(self.addresses)) | {
            name for name in engine.inputs if -1 in engine.get_tensor_shape(name) and name not in self._shapes
        }
        if missing:
            engine.log.errors.append(f"not set: {', '.join(sorted(missing))}")
            return False
        self.enqueued += 1
        if self.profiler is not None:  # as the real one: at each enqueue, layer by layer
            for layer, ms in (("convolutions", 3.0), ("/GridSample", 1.0 + self.enqueued)):
                self.profiler.report_layer_time(layer, ms)
        addresses, shapes = dict(self.addresses), dict(self._shapes)  # as they are now: a graph keeps these
        engine.enqueue(stream_handle, lambda: self._execute(addresses, shapes))
        return True

    def _execute(self, addresses: dict[str, int], shapes: dict[str, tuple[int, ...]]) -> None:
        engine = self._engine
        try:
            feeds = {
                name: _array(addresses[name], shapes.get(name, engine.get_tensor_shape(name)), tensor.type)
                for name, tensor in engine.inputs.items()
            }
            results = engine.session.run(list(engine.outputs), feeds)
            for (name, tensor), result in zip(engine.outputs.items(), results, strict=True):
                np.copyto(_array(addresses[name], result.shape, tensor.type), result)
            self.executed += 1
        except Exception as error:
            self.faults.append(f"{type(error).__name__}: {error}")


def _array(address: int, shape: tuple[int, ...], kind: str) -> np.ndarray:
    dtype = np.dtype(np.uint8 if kind == "tensor(uint8)" else np.float32)
    nbytes = int(np.prod(shape)) * dtype.itemsize
    return np.frombuffer((ctypes.c_uint8 * nbytes).from_address(address), dtype).reshape(shape)


def write_fake_engine(
    bundle: Bundle, graph: GraphName, size: FrameSize, directory: Path, builder: Builder
) -> EnginePaths:
    """An engine as `tremorscope build` leaves it, with a sidecar that says it was built by ``builder``."""
    cell_px = bundle.representation.cell_px
    content = engine_content(bundle.graph_path(graph), size.width_px, size.height_px, cell_px)
    source = EngineSource(
        network=bundle.manifest.network,
        graph=graph,
        graph_sha256=bundle.manifest.graphs[graph].sha256,
        precision=bundle.manifest.precision,
        frame_size=size,
        most_sections=8 if graph == "band" else None,
    )
    settings = BuildSettings(
        rule="", network_flags=(), builder_flags=(), cleared_flags=(), workspace_bytes=1, dla_core=None
    )
    sidecar = Sidecar(
        source=source,
        builder=builder,
        settings=settings,
        engine_bytes=len(content),
        engine_sha256=hashlib.sha256(content).hexdigest(),
        built_utc="",
        build_s=0.0,
        tremorscope="",
    )
    paths = engine_paths(directory, builder.target, graph, size, precision=bundle.manifest.precision)
    write_engine(paths, content, sidecar)
    return paths


def fake_library(enqueue: Enqueue = at_once) -> tuple[Library, list[FakeEngine]]:
    """The library, and a list to which every engine is added that it loads."""
    log, loaded = BuildLog(), []

    class Runtime:
        def __init__(self, logger: Any) -> None:
            assert logger == "the logger"

        def deserialize_cuda_engine(self, serialized_engine: bytes) -> FakeEngine | None:
            try:
                loaded.append(FakeEngine(serialized_engine, log, enqueue))
            except ValueError:
                log.errors.append("magic number  does not\nmatch")
                return None
            return loaded[-1]

    class IProfiler:
        pass

    module = SimpleNamespace(
        Runtime=Runtime, DataType=DataType, TensorIOMode=TensorIOMode, IProfiler=IProfiler
    )
    return Library("tensorrt", module, Version(10, 3, 0), "10.3.0", "the logger", log), loaded
