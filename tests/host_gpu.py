"""The protocol of `runtime.gpu.protocol` in the CPU's own memory, where there is no GPU: everything is done at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import Allocator, allocate_host
from tremorscope.runtime.gpu.mapped import MappedBlocks, Mapping
from tremorscope.runtime.gpu.protocol import CudaEvent, CudaGraph, DeviceMemory, GpuInfo, Stream


@dataclass(frozen=True)
class HostStream:
    """What is put into it has been done already."""

    handle: int = 0

    def free(self) -> None:
        """Nothing is held."""


@dataclass
class HostEvent:
    """The time at which it was recorded."""

    recorded_s: float = 0.0

    def record(self, stream: Stream) -> None:  # noqa: ARG002
        """Take the time."""
        self.recorded_s = time.perf_counter()

    def done(self) -> bool:
        """True: nothing is waited for."""
        return True

    def ms_since(self, earlier: CudaEvent) -> float:
        """Milliseconds between two events."""
        assert isinstance(earlier, HostEvent)
        return 1e3 * (self.recorded_s - earlier.recorded_s)

    def free(self) -> None:
        """Nothing is held."""


@dataclass
class HostDeviceMemory:
    """Memory that stands in for the GPU's."""

    pages: NDArray[np.uint8] | None

    @property
    def address(self) -> int:
        """Where it lies."""
        return self._used().ctypes.data

    @property
    def nbytes(self) -> int:
        """How much it is."""
        return self._used().nbytes

    def free(self) -> None:
        """Give it back."""
        self._used()
        self.pages = None

    def _used(self) -> NDArray[np.uint8]:
        if self.pages is None:
            raise ValueError("memory was used after it had been freed")
        return self.pages


@dataclass
class HostGpu:
    """Every address is the CPU's, and every call returns when its work is done."""

    info: GpuInfo = field(default=GpuInfo("the CPU's own memory", "0.0", "0.0", 0, integrated=True))
    captures: bool = False

    def __post_init__(self) -> None:
        self._mapped = MappedBlocks(_obtain)

    @property
    def allocate_mapped(self) -> Allocator:
        """Makes ordinary memory, page-aligned and zeroed."""
        return self._mapped.allocate

    @property
    def mapped_nbytes(self) -> int:
        """Bytes of it in use."""
        return self._mapped.nbytes

    @contextmanager
    def current(self) -> Iterator[None]:
        """Nothing has to be made current."""
        yield

    def free_bytes(self) -> int:
        """Not known here: 0."""
        return 0

    def find(self, array: NDArray[Any]) -> int | None:
        """The array's own address; None where it is not from ``allocate_mapped``."""
        return self._mapped.find(array)

    def device_address(self, array: NDArray[Any]) -> int:
        """The array's own address, for memory of ``allocate_mapped`` alone."""
        return self._mapped.device_address(array)

    def allocate_device(self, nbytes: int) -> DeviceMemory:
        """Ordinary memory, page-aligned."""
        return HostDeviceMemory(allocate_host(nbytes))

    def zero(self, memory: DeviceMemory, stream: Stream) -> None:  # noqa: ARG002
        """Fill with zeros."""
        _pages(memory).fill(0)

    def upload(self, array: NDArray[Any], memory: DeviceMemory) -> None:
        """Copy an array."""
        np.copyto(_pages(memory)[: array.nbytes], array.reshape(-1).view(np.uint8))

    def send(self, array: NDArray[Any], memory: DeviceMemory, stream: Stream) -> None:  # noqa: ARG002
        """Copy an array of ``allocate_mapped``."""
        self.device_address(array)
        self.upload(array, memory)

    def fetch_picture(
        self,
        device_address: int,
        pitch_bytes: int,
        picture: NDArray[np.uint8],
        stream: Stream,  # noqa: ARG002
    ) -> None:
        """Copy rows that are ``pitch_bytes`` apart."""
        self.device_address(picture)
        height, row_bytes = picture.shape[0], picture[0].nbytes
        rows = np.lib.stride_tricks.as_strided(
            _at(device_address, (height - 1) * pitch_bytes + row_bytes),
            (height, row_bytes),
            (pitch_bytes, 1),
        )
        np.copyto(picture.reshape(height, row_bytes), rows)

    def stream(self) -> Stream:
        """A stream."""
        return HostStream()

    def event(self) -> CudaEvent:
        """An event."""
        return HostEvent()

    def capture(self, stream: Stream, work: Callable[[], None]) -> CudaGraph:
        """Not to be had here."""
        raise NotImplementedError("there are no graphs without a GPU: see captures")

    def close(self) -> None:
        """Give the memory back."""
        self._mapped.close()


def _obtain(nbytes: int) -> Mapping:
    pages = allocate_host(nbytes)
    kept = [pages]  # what keeps the pages until they are freed
    return Mapping(pages.ctypes.data, pages.ctypes.data, kept.clear)


def _pages(memory: DeviceMemory) -> NDArray[np.uint8]:
    assert isinstance(memory, HostDeviceMemory)
    return memory._used()


def _at(address: int, nbytes: int) -> NDArray[np.uint8]:
    import ctypes

    return np.ctypeslib.as_array((ctypes.c_uint8 * nbytes).from_address(address))
