"""GPU protocol of the runtime, implemented by CUDA, and a bounded wait.

`runtime.gpu.pycuda_gpu` is it on a machine with a GPU, and the one module that imports PyCUDA;
`runtime.gpu.cuda_bindings` adds graphs where cuda-bindings are installed, which it and `runtime.gpu.egl` alone import.

Every call but ``allocate_mapped``, ``find`` and ``device_address`` is made within ``Gpu.current``, in any thread, each
stream in one thread at a time; failures of the driver come out of it as an EngineFault.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import Allocator

_SHORTEST_NAP_S, _LONGEST_NAP_S = 50e-6, 200e-6


@dataclass(frozen=True)
class GpuInfo:
    """Properties of a GPU."""

    name: str
    compute_capability: str
    """E.g. ``8.7``."""
    driver_cuda: str
    """The CUDA version of the driver, e.g. ``12.6``."""
    total_bytes: int
    integrated: bool
    """True where CPU and GPU share the memory, as on a Jetson: mapped memory then costs no transfer."""


class Stream(Protocol):
    """CUDA stream: work for the GPU, done in order."""

    @property
    def handle(self) -> int:
        """CUstream handle, as CUDA and TensorRT take it."""

    def free(self) -> None:
        """Destroy the stream; work already in it is completed."""


class CudaEvent(Protocol):
    """CUDA event: a mark in a stream."""

    def record(self, stream: Stream) -> None:
        """Set the mark behind the work that is in the stream so far."""

    def done(self) -> bool:
        """Return True once the stream has reached the mark."""

    def ms_since(self, earlier: CudaEvent) -> float:
        """GPU time in ms between two marks that are done."""

    def free(self) -> None:
        """Destroy it."""


class DeviceMemory(Protocol):
    """Device memory, not visible to the CPU."""

    @property
    def address(self) -> int:
        """Device address."""

    @property
    def nbytes(self) -> int:
        """Size in bytes."""

    def free(self) -> None:
        """Free it; freeing twice is an error of the driver."""


class CudaGraph(Protocol):
    """CUDA graph: work that was captured from a stream once and is launched as one."""

    def launch(self, stream: Stream) -> None:
        """Launch the graph in a stream."""

    def free(self) -> None:
        """Destroy it."""


class Gpu(Protocol):
    """One GPU and its memory."""

    @property
    def info(self) -> GpuInfo:
        """Properties of the GPU."""

    @property
    def captures(self) -> bool:
        """True where ``capture`` works."""

    @property
    def mapped_nbytes(self) -> int:
        """Bytes of page-locked memory that are mapped at present."""

    @property
    def allocate_mapped(self) -> Allocator:
        """Allocator of memory that CPU and GPU both see: page-locked, zeroed, page-aligned; freed when unused."""

    def current(self) -> AbstractContextManager[None]:
        """Make the GPU's context current in this thread.

        Raises:
            EngineFault: the driver reports an error of anything done within.
            MemoryError: it has no room.
        """

    def free_bytes(self) -> int:
        """Bytes that are free on the GPU."""

    def find(self, array: NDArray[Any]) -> int | None:
        """Device address of a contiguous array; None where it lies outside of mapped memory."""

    def device_address(self, array: NDArray[Any]) -> int:
        """Device address of a contiguous array in mapped memory.

        Raises:
            ValueError: it lies elsewhere.
        """

    def allocate_device(self, nbytes: int) -> DeviceMemory:
        """Memory of the GPU alone, aligned to 256 bytes or more as TensorRT demands, its content undefined."""

    def zero(self, memory: DeviceMemory, stream: Stream) -> None:
        """Fill with zeros, in the stream's order."""

    def upload(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """Copy a contiguous array to the GPU; returns when it is there. For what changes seldom."""

    def send(self, array: NDArray[Any], memory: DeviceMemory, stream: Stream) -> None:
        """Copy a contiguous array of mapped memory to the GPU, in the stream's order; the GPU reads it, not the CPU.

        Leave the array unchanged until the stream has reached the copy.
        """

    def fetch_picture(
        self, device_address: int, pitch_bytes: int, picture: NDArray[np.uint8], stream: Stream
    ) -> None:
        """Let the GPU copy a picture from device memory, rows ``pitch_bytes`` apart, into mapped memory.

        Args:
            device_address: of the first pixel.
            pitch_bytes: from one row to the next, at least a row of ``picture``.
            picture: u8[H, W, C], contiguous, in mapped memory; complete once the stream has reached the copy.
            stream: takes the copy.
        """

    def stream(self) -> Stream:
        """New stream, independent of all others."""

    def event(self) -> CudaEvent:
        """New event."""

    def capture(self, stream: Stream, work: Callable[[], None]) -> CudaGraph:
        """Capture the work that ``work`` puts into the stream as a graph, without running it."""

    def close(self) -> None:
        """Free everything; closing twice is harmless.

        Raises:
            LeaseError: mapped memory is in use still.
        """


class Waited(Protocol):
    """Object that can be waited for: an event, or a stream that reports when it is empty."""

    def done(self) -> bool:
        """Return True once the wait is over."""


def wait_for(event: Waited, *, expected_s: float, limit_s: float) -> bool:
    """Wait until the GPU has come to a mark, asleep for most of ``expected_s``; False where ``limit_s`` has passed.

    CUDA's own waits have no bound: a GPU that hangs would hang the service.
    """
    begin_s = time.monotonic()
    if expected_s > 5 * _LONGEST_NAP_S and not event.done():
        time.sleep(0.9 * expected_s)
    nap_s = min(max(expected_s / 100, _SHORTEST_NAP_S), _LONGEST_NAP_S)  # at most a hundredth too late
    while not event.done():
        if time.monotonic() - begin_s > limit_s:
            return False
        time.sleep(nap_s)
    return True
