"""Loading of a built engine, and its inputs and outputs.

Within this module, `tensorrt_step` and `tensorrt_runner` a variable's name tells its TensorRT class (``engine`` is an
``ICudaEngine``, ``context`` an ``IExecutionContext``, ``runtime`` a ``Runtime``), as it does where engines are built.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.runtime.engines.tensorrt.engine_file import REBUILD
from tremorscope.runtime.engines.tensorrt.library import Library
from tremorscope.runtime.errors import EngineFault

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """An input or output of an engine."""

    name: str
    is_input: bool
    dtype: np.dtype[Any]
    shape: Shape
    """-1 where each step may have another size."""
    largest: Shape
    """The same with the largest size in place of -1; of an output, ``shape``."""


@dataclass(frozen=True)
class LoadedEngine:
    """An engine in memory, and its file."""

    path: Path
    library: Library
    engine: Any
    tensors: dict[str, Tensor]

    def check_interface(self, wanted: dict[str, tuple[str, Shape]]) -> None:
        """Check names, types (``u1``, ``f4``) and shapes (-1 takes any size) of all inputs and outputs.

        Raises:
            EngineFault: one differs.
        """
        if set(self.tensors) != set(wanted):
            raise EngineFault(
                f"{self.path}: it has {', '.join(sorted(self.tensors))}, not {', '.join(sorted(wanted))}",
                remedy=REBUILD,
            )
        for name, (dtype, shape) in wanted.items():
            have = self.tensors[name]
            agrees = len(have.shape) == len(shape) and all(
                want in (-1, size) for size, want in zip(have.shape, shape, strict=True)
            )
            if have.dtype != np.dtype(dtype) or not agrees:
                raise EngineFault(
                    f"{self.path}: {name} is {have.dtype} {list(have.shape)}, not {dtype} {list(shape)}",
                    remedy=REBUILD,
                )


def load_engine(library: Library, path: Path) -> LoadedEngine:
    """Load an engine; its sidecar must have been checked, for TensorRT dies of some that are not of this machine.

    Raises:
        EngineFault: it cannot be read, or TensorRT does not take it.
    """
    trt = library.module
    library.log.errors.clear()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EngineFault(f"{path}: {(error.strerror or '').lower()}", remedy=REBUILD) from None
    try:
        runtime = trt.Runtime(library.logger)
    except TypeError:  # Python's error for a constructor that returned null
        raise EngineFault(
            f"{library} does not start ({library.log.reason()})",
            remedy="check that the GPU's driver is loaded",
        ) from None
    engine = runtime.deserialize_cuda_engine(content)
    if engine is None:
        raise EngineFault(f"{path}: {library} does not take it ({library.log.reason()})", remedy=REBUILD)
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    return LoadedEngine(path, library, engine, {name: _describe(trt, engine, name) for name in names})


def _describe(trt: Any, engine: Any, name: str) -> Tensor:
    is_input = engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT
    shape = tuple(int(length) for length in engine.get_tensor_shape(name))
    largest = shape
    if is_input and -1 in shape:
        ranges = engine.get_tensor_profile_shape(name, 0)
        largest = tuple(int(length) for length in ranges[2])
    return Tensor(name, is_input, _dtype(trt, engine, name), shape, largest)


def _dtype(trt: Any, engine: Any, name: str) -> np.dtype[Any]:
    known: dict[Any, np.dtype[Any]] = {
        trt.DataType.UINT8: np.dtype(np.uint8),
        trt.DataType.FLOAT: np.dtype(np.float32),
    }
    stated = engine.get_tensor_dtype(name)
    if stated not in known:
        raise EngineFault(f"the engine's {name} is {stated}, neither UINT8 nor FLOAT", remedy=REBUILD)
    return known[stated]
