"""Access to TensorRT: imports ``tensorrt`` or ``tensorrt_rtx``, with a remedy where it is missing; loads a built
engine, and tells its inputs and outputs.

Within this module, `tensorrt_step` and `tensorrt_runner` a variable's name tells its TensorRT class (``engine`` is an
``ICudaEngine``, ``context`` an ``IExecutionContext``, ``runtime`` a ``Runtime``), as it does where engines are built.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.files import reason_of
from tremorscope.runtime.engines.tensorrt.engine_file import REBUILD
from tremorscope.runtime.engines.tensorrt.plan import PRODUCTS, Target, Version, parse_version
from tremorscope.runtime.errors import EngineFault

_JETPACK_MODULES = "usr/lib/python3*/dist-packages/tensorrt"
_OF_MEMORY = re.compile(
    r"out ?of ?memory|NvMapMem|memory ?allocation|could not be allocated|bad_alloc", re.IGNORECASE
)
"""Messages of TensorRT 8.6 to 11 about memory: "Error Code 2: OutOfMemory", "Cuda Runtime (out of memory)",
"cudaErrorMemoryAllocation", "Requested amount of GPU memory (N bytes) could not be allocated"."""
_REMEDY_RTX = "pip install tensorrt-rtx, on a workstation with an NVIDIA RTX GPU"


class BuildLog:
    """TensorRT's error messages since the log was last cleared."""

    def __init__(self) -> None:
        self.errors: list[str] = []

    @property
    def lacks_memory(self) -> bool:
        """True where an error is of too little memory, or there is none: on a Jetson the allocator of the system
        (NvMapMemAlloc) complains on its own, past TensorRT's logger."""
        return not self.errors or any(_OF_MEMORY.search(text) for text in self.errors)

    def reason(self) -> str:
        """The first error in one line: later ones follow from it."""
        return " ".join(self.errors[0].split())[:300] if self.errors else "no reason given"


@dataclass(frozen=True)
class Library:
    """An imported TensorRT, and the one logger that it takes in a process."""

    target: Target
    module: Any
    version: Version
    release: str
    """The version with the number of its build, e.g. ``10.13.3.9``."""
    logger: Any
    log: BuildLog

    def __str__(self) -> str:
        return f"{PRODUCTS[self.target]} {self.release}"


def load_library(target: Target, root: Path = Path("/")) -> Library:
    """Import TensorRT or TensorRT for RTX.

    Args:
        target: which of the two.
        root: where the system's files are, to tell why it cannot be imported.

    Raises:
        EngineFault: it, or a library that it needs, is not there.
    """
    importers: dict[Target, Callable[[], Any]] = {"tensorrt": _tensorrt, "tensorrt-rtx": _tensorrt_rtx}
    try:
        module = importers[target]()
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
            raise
        remedy = _REMEDY_RTX if target == "tensorrt-rtx" else _remedy_on_jetson(root)
        raise EngineFault(f"{PRODUCTS[target]} is not there for this Python", remedy=remedy) from None
    except ImportError as error:
        raise EngineFault(
            f"{PRODUCTS[target]} cannot be loaded ({error})",
            remedy=_REMEDY_RTX
            if target == "tensorrt-rtx"
            else "sudo apt install --reinstall 'libnvinfer*' 'libnvonnxparsers*'",
        ) from None
    return library_of(target, module)


def library_of(target: Target, module: Any) -> Library:
    """TensorRT as imported, with a logger.

    Raises:
        EngineFault: it does not state a version.
    """
    log = BuildLog()
    return Library(
        target=target,
        module=module,
        version=parse_version(module.__version__),
        release=module.__version__,
        logger=_logger(module, log),
        log=log,
    )


def _logger(trt: Any, log: BuildLog) -> Any:
    # TensorRT ignores every logger after the first, so that one must serve for all builds.
    # Severities are ordered: internal errors, then errors, then all that is less.
    least_told = int(trt.ILogger.Severity.ERROR)

    class _Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, msg: str) -> None:
            if int(severity) <= least_told:
                log.errors.append(msg)

    return _Logger()


def _tensorrt() -> Any:
    import tensorrt

    return tensorrt


def _tensorrt_rtx() -> Any:
    try:
        import tensorrt_rtx
    except ModuleNotFoundError as error:
        if error.name != "tensorrt_rtx":
            raise
        import tensorrt_rtx_bindings  # what the package of bindings alone is called

        return tensorrt_rtx_bindings
    return tensorrt_rtx


def _remedy_on_jetson(root: Path) -> str:
    installed = sorted(root.glob(_JETPACK_MODULES))
    if not installed:
        return "on a Jetson, sudo apt install nvidia-jetpack; elsewhere build with --target tensorrt-rtx"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return (
        f"JetPack's is at {installed[0]}: make the virtual environment with the system's own Python "
        f"(this one is {python}) and --system-site-packages"
    )


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
        raise EngineFault(f"{path}: {reason_of(error)}", remedy=REBUILD) from None
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
