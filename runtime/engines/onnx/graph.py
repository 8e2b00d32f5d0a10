"""An ONNX graph in ONNX Runtime on the CPU, bound to memory by pointer.

This module and `onnx_profile` are the only ones that import ONNX Runtime.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import platform
import weakref
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as _state

from tremorscope.files import reason_of
from tremorscope.runtime.errors import BundleFault, EngineFault
from tremorscope.runtime.host.threads import release_freed_memory

# ONNX Runtime's exceptions have no common base but Exception.
_ONNX_RUNTIME_ERRORS = (
    _state.EPFail,
    _state.Fail,
    _state.InvalidArgument,
    _state.InvalidGraph,
    _state.InvalidProtobuf,
    _state.NoSuchFile,
    _state.NotImplemented,
    _state.RuntimeException,
)

RELEASE: str = onnxruntime.__version__
U8, F32 = "tensor(uint8)", "tensor(float)"
_REMEDY = "export the bundle again with this release of tremorscope"
Shapes = dict[str, tuple[int | None, ...]]
"""Shape of every input and output by name; None where each step, or each graph, may have another."""
_Place = tuple[str, str, int, type[np.generic], tuple[int, ...], int]
"""Memory of an input or output, as ONNX Runtime is told it: name, device and its number, type, shape, address."""


@atexit.register
def _end_without_unloading() -> None:
    """Let the process end before ONNX Runtime's destructors run, with the exit status that it has.

    Of several releases they free wrongly on a Jetson's processor and abort (microsoft/onnxruntime issues 24092 and
    28301), which would turn "ended as asked" into a crash for systemd. The C library calls what was registered last
    first: its buffers are written out, then the process ends.
    """
    with suppress(AttributeError, OSError):  # another C library than glibc has no on_exit
        libc = ctypes.CDLL(None)
        libc.on_exit(libc._exit, None)
        libc.__cxa_atexit(libc.fflush, None, None)


class BoundGraph:
    """A graph of checked interface whose inputs and outputs lie in the caller's memory."""

    def __init__(
        self,
        graph: Path,
        inputs: dict[str, str],
        outputs: dict[str, str],
        shapes: Shapes,
        sizes: dict[str, int],
        threads: int | None,
    ) -> None:
        """Load a graph whose inputs and outputs must be of these types and shapes, with named sizes as stated.

        Raises:
            BundleFault: it cannot be loaded, or is another graph.
        """
        self._at = f"{sizes['width']}x{sizes['height']}"
        self._graph, self._options = graph, session_options(sizes, threads)
        try:
            # Held open: at its path there may be another one when the session is opened again.
            self._file = os.open(graph, os.O_RDONLY)
        except OSError as error:
            raise BundleFault(f"{graph}: cannot be loaded ({reason_of(error)})", remedy=_REMEDY) from None
        weakref.finalize(self, os.close, self._file)
        self._written_ns = os.fstat(self._file).st_mtime_ns
        self._places: dict[tuple[str, str], _Place] = {}
        self._session: onnxruntime.InferenceSession | None = None
        self._binding: onnxruntime.IOBinding | None = None
        session = self._open()
        _check_types(graph, session, inputs, outputs)
        _check_shapes(graph, session, shapes)
        self.channels = _channels(graph, session)
        """Bytes a pixel of the frames that go in."""

    def read(self, name: str, array: NDArray[np.generic]) -> None:
        """Let an input be read from a contiguous array, which must outlive its use."""
        self._bind("bind_input", name, array)

    def write(self, name: str, array: NDArray[np.generic]) -> None:
        """Let an output be written into a contiguous array, which must outlive its use."""
        self._bind("bind_output", name, array)

    def rest(self) -> None:
        """Give the session's memory back until the next run, which opens it again in a fraction of a step's time."""
        if self._session is not None:
            self._session = self._binding = None
            release_freed_memory()

    def run(self) -> None:
        """Compute the outputs from the inputs.

        Raises:
            BundleFault: the graph cannot be loaded again after a rest.
            EngineFault: the graph failed while running.
        """
        session = self._session or self._open()
        try:
            session.run_with_iobinding(self._binding)
        except _ONNX_RUNTIME_ERRORS as error:
            raise EngineFault(
                f"a step at {self._at} failed ({_first_line(error)})",
                remedy="free memory or use a smaller picture",
            ) from None

    def _open(self) -> onnxruntime.InferenceSession:
        stated = os.fstat(self._file)
        if stated.st_mtime_ns != self._written_ns:
            raise BundleFault(f"{self._graph}: was written to while it was in use", remedy="start again")
        try:
            content = os.pread(self._file, stated.st_size, 0)
            session = onnxruntime.InferenceSession(content, self._options, providers=["CPUExecutionProvider"])
        except OSError as error:
            raise BundleFault(
                f"{self._graph}: cannot be loaded ({reason_of(error)})", remedy=_REMEDY
            ) from None
        except _ONNX_RUNTIME_ERRORS as error:
            raise BundleFault(
                f"{self._graph}: cannot be loaded ({_first_line(error)})", remedy=_REMEDY
            ) from None
        binding = session.io_binding()
        for (bind, _), place in self._places.items():
            getattr(binding, bind)(*place)
        self._session, self._binding = session, binding
        return session

    def _bind(self, bind: str, name: str, array: NDArray[np.generic]) -> None:
        place = (name, "cpu", 0, array.dtype.type, array.shape, array.ctypes.data)
        self._places[bind, name] = place
        if self._binding is not None:
            getattr(self._binding, bind)(*place)


def session_options(sizes: dict[str, int], threads: int | None) -> onnxruntime.SessionOptions:
    """Session options of every graph: named sizes as stated, and so many threads, None being one a core."""
    options = onnxruntime.SessionOptions()
    # With the size known, shapes are folded once, instead of at every step.
    for name, size in sizes.items():
        options.add_free_dimension_override_by_name(name, size)
    # One block planned for all tensors takes more than the arena does (by a third at 640x360), and is no faster.
    options.enable_mem_pattern = False
    # Idle threads sleep: spinning ones take the core that decodes and encodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if _overflows_in_int8():
        options.add_session_config_entry("session.x64quantprecision", "1")  # exact, at twice the time
    options.log_severity_level = 4
    if threads is None and platform.machine() == "aarch64":
        # By itself it pins a thread to each core, and complains of those that a Jetson's power mode has switched off.
        threads = len(os.sched_getaffinity(0))
    if threads is not None:
        options.intra_op_num_threads = threads
    return options


def _overflows_in_int8(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """True where products of INT8 are added up in 16 bits, which overflow: on x86 processors without VNNI."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    try:
        return "vnni" not in cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True


def _check_types(
    graph: Path, session: onnxruntime.InferenceSession, inputs: dict[str, str], outputs: dict[str, str]
) -> None:
    kind = "pairwise" if "reference" in inputs else "band"
    for found, expected in ((session.get_inputs(), inputs), (session.get_outputs(), outputs)):
        types = {tensor.name: tensor.type for tensor in found}
        if types != expected:
            raise BundleFault(f"{graph}: not a {kind} graph (has {types}, not {expected})", remedy=_REMEDY)


def _check_shapes(graph: Path, session: onnxruntime.InferenceSession, shapes: Shapes) -> None:
    for tensor in (*session.get_inputs(), *session.get_outputs()):
        wanted = shapes[tensor.name]
        # A size that is still a name is decided at run time; a number must be ours.
        agrees = len(tensor.shape) == len(wanted) and all(
            not isinstance(have, int) or want is None or have == want
            for have, want in zip(tensor.shape, wanted, strict=True)
        )
        if not agrees:
            raise BundleFault(
                f"{graph}: made for {tensor.name} of shape {tensor.shape}, not {_stated(wanted, tensor.shape)}",
                remedy="export a bundle for this size, or for any size by leaving --size out",
            )


def _stated(wanted: tuple[int | None, ...], have: list[int | str]) -> list[int | str | None]:
    """The shape that is wanted, with open sizes taken from the graph."""
    if len(wanted) != len(have):
        return list(wanted)
    return [there if want is None else want for want, there in zip(wanted, have, strict=True)]


def _channels(graph: Path, session: onnxruntime.InferenceSession) -> int:
    shapes = {tensor.name: tensor.shape for tensor in session.get_inputs()}
    channels = {shapes[name][3] for name in ("frame", "reference", "previous") if name in shapes}
    if channels not in ({3}, {4}):
        raise BundleFault(
            f"{graph}: takes frames of {channels} channels, neither 3 nor 4 for all", remedy=_REMEDY
        )
    return int(channels.pop())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
