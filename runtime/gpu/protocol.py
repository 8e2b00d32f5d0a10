"""What the runtime asks of a GPU: the small protocol behind which CUDA stands, and a bounded wait.

`runtime.gpu.pycuda_gpu` is it on a machine with a GPU, and the one module that imports PyCUDA; `runtime.gpu.graphs`
adds graphs where cuda-bindings are installed, which it and `runtime.gpu.egl` alone import.

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

ADDRESS_ALIGNMENT_BYTES = 256
"""What TensorRT asks of the address of every input and output; a page has it."""
_SHORTEST_NAP_S, _LONGEST_NAP_S = 50e-6, 200e-6


@dataclass(frozen=True)
class GpuInfo:
    """What a GPU is."""

    name: str
    compute_capability: str
    """E.g. ``8.7``."""
    driver_cuda: str
    """The CUDA version of the driver, e.g. ``12.6``."""
    total_bytes: int
    integrated: bool
    """True where CPU and GPU share the memory, as on a Jetson: mapped memory then costs no transfer."""


class Stream(Protocol):
    """Work for the GPU, done one after the other."""

    @property
    def handle(self) -> int:
        """The stream as CUDA and TensorRT know it."""

    def free(self) -> None:
        """Give it back; what is in it is done all the same."""


class Event(Protocol):
    """A mark in a stream."""

    def record(self, stream: Stream) -> None:
        """Set the mark behind what the stream has to do so far."""

    def done(self) -> bool:
        """Whether the stream has come to the mark."""

    def ms_since(self, earlier: Event) -> float:
        """Milliseconds of the GPU between two marks that are done."""

    def free(self) -> None:
        """Give it back."""


class DeviceMemory(Protocol):
    """Memory of the GPU alone, which the CPU does not see."""

    @property
    def address(self) -> int:
        """Where it lies, for the GPU."""

    @property
    def nbytes(self) -> int:
        """How much it is."""

    def free(self) -> None:
        """Give it back; freeing twice is an error of the driver."""


class Graph(Protocol):
    """Work that was captured from a stream once and is launched as one."""

    def launch(self, stream: Stream) -> None:
        """Put all of it into a stream."""

    def free(self) -> None:
        """Give it back."""


class Gpu(Protocol):
    """One GPU and its memory."""

    @property
    def info(self) -> GpuInfo:
        """What it is."""

    @property
    def captures(self) -> bool:
        """Whether ``capture`` works here."""

    @property
    def mapped_nbytes(self) -> int:
        """Bytes of page-locked memory that are mapped at present."""

    @property
    def allocate_mapped(self) -> Allocator:
        """Makes memory that CPU and GPU both see, page-locked and zeroed, its start on a page; freed when unused."""

    def current(self) -> AbstractContextManager[None]:
        """Speak to the GPU from this thread.

        Raises:
            EngineFault: the driver reports an error of anything done within.
            MemoryError: it has no room.
        """

    def free_bytes(self) -> int:
        """Bytes that are free on the GPU."""

    def find(self, array: NDArray[Any]) -> int | None:
        """Where the GPU finds a contiguous array; None where it lies outside of mapped memory."""

    def device_address(self, array: NDArray[Any]) -> int:
        """Where the GPU finds a contiguous array that lies in mapped memory.

        Raises:
            ValueError: it lies elsewhere.
        """

    def allocate_device(self, nbytes: int) -> DeviceMemory:
        """Memory of the GPU alone, aligned to ``ADDRESS_ALIGNMENT_BYTES`` at the least, its content undefined."""

    def zero(self, memory: DeviceMemory, stream: Stream) -> None:
        """Fill with zeros, in the stream's order."""

    def upload(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """Copy a contiguous array to the GPU; returns when it is there. For what changes seldom."""

    def send(self, array: NDArray[Any], memory: DeviceMemory, stream: Stream) -> None:
        """Copy a contiguous array of mapped memory to the GPU, in the stream's order; the GPU reads it, not the CPU.

        Leave the array alone until the stream has come so far.
        """

    def fetch_picture(
        self, device_address: int, pitch_bytes: int, picture: NDArray[np.uint8], stream: Stream
    ) -> None:
        """Let the GPU write a picture of its own, whose rows are ``pitch_bytes`` apart, into mapped memory.

        Args:
            device_address: of the first pixel.
            pitch_bytes: from one row to the next, at least a row of ``picture``.
            picture: u8[H, W, C], contiguous, in mapped memory; complete when the stream has come so far.
            stream: in the order of which it is done.
        """

    def stream(self) -> Stream:
        """A new stream, which no other waits for."""

    def event(self) -> Event:
        """A new mark."""

    def capture(self, stream: Stream, work: Callable[[], None]) -> Graph:
        """Record what ``work`` puts into the stream, without doing it, as a graph."""

    def close(self) -> None:
        """Give everything back; closing twice is harmless.

        Raises:
            LeaseError: mapped memory is in use still.
        """


class Waited(Protocol):
    """What can be waited for: an event, or a stream that tells when it is empty."""

    def done(self) -> bool:
        """Whether it has come to pass."""


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
