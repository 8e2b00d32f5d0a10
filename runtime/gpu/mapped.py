"""Memory that a device maps: its addresses for CPU and device, its users, and its release.

A block is one piece of page-locked memory. Every array of it, and every view of such an array, keeps it; when the
last is gone it may be freed, which happens where the device's context is current, not wherever garbage is collected.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import PAGE_BYTES
from tremorscope.runtime.frames.ring import LeaseError


@dataclass(frozen=True)
class Mapping:
    """Memory as the device's library gave it."""

    host_address: int
    device_address: int
    free: Callable[[], None]
    """Gives it back; called once, when nothing refers to it any more."""


class _Owner:
    """Base of every array of a block: numpy keeps it alive as long as any view."""

    def __init__(self, address: int, nbytes: int) -> None:
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "shape": (nbytes,),
            "typestr": "|u1",
            "data": (address, False),
        }


@dataclass(frozen=True)
class _Block:
    start: int
    end: int
    to_device: int
    """Device address minus host address."""
    mapping: Mapping


class MappedBlocks:
    """All mapped memory of one device; ``allocate`` is an Allocator (`runtime.frames.buffers`)."""

    def __init__(self, obtain: Callable[[int], Mapping]) -> None:
        """``obtain`` allocates a number of bytes with the device's library, or raises MemoryError."""
        self._obtain = obtain
        self._lock = threading.Lock()
        self._blocks: tuple[_Block, ...] = ()
        self._unused: deque[_Block] = deque()

    @property
    def nbytes(self) -> int:
        """Bytes that are mapped at present."""
        return sum(block.end - block.start for block in self._blocks)

    def allocate(self, nbytes: int) -> NDArray[np.uint8]:
        """Mapped memory, u8[nbytes], zeroed, its start on a page for CPU and device alike.

        Raises:
            MemoryError: there is no room for it.
        """
        if nbytes < 1:
            raise ValueError(f"{nbytes} bytes cannot be mapped")
        self.free_unused()
        block = self._map(nbytes)
        owner = _Owner(block.start, nbytes)
        weakref.finalize(owner, partial(self._unused.append, block)).atexit = False
        with self._lock:
            self._blocks = (*self._blocks, block)
        array: NDArray[np.uint8] = np.asarray(owner)
        array.fill(0)
        return array

    def find(self, array: NDArray[Any]) -> int | None:
        """Device address of a contiguous array; None where it lies in no block: the device cannot reach it."""
        start: int = array.__array_interface__["data"][0]
        end = start + array.nbytes
        for block in self._blocks:
            if block.start <= start and end <= block.end:
                return start + block.to_device
        return None

    def device_address(self, array: NDArray[Any]) -> int:
        """Device address of a contiguous array that lies in one of the blocks.

        Raises:
            ValueError: it does not.
        """
        address = self.find(array)
        if address is None:
            raise ValueError(
                f"{array.nbytes} bytes are not in mapped memory: allocate them with the runtime's allocator"
            )
        return address

    def free_unused(self) -> None:
        """Free blocks without references; to be called where the device's context is current."""
        while True:
            with self._lock:
                if not self._unused:
                    return
                block = self._unused.popleft()
                self._blocks = tuple(each for each in self._blocks if each is not block)
            block.mapping.free()

    def close(self) -> None:
        """Free all blocks.

        Raises:
            LeaseError: arrays refer to some of it still; that stays as it is, and so do the arrays.
        """
        self.free_unused()
        if self._blocks:
            sizes = ", ".join(f"{(block.end - block.start) / 1e6:.1f} MB" for block in self._blocks)
            raise LeaseError(f"mapped memory is in use still: {sizes}; let go of rings and frames first")

    def _map(self, nbytes: int) -> _Block:
        mapping = self._obtain(nbytes)
        if mapping.host_address % PAGE_BYTES or mapping.device_address % PAGE_BYTES:
            mapping.free()
            mapping = self._obtain(nbytes + PAGE_BYTES)
        skipped = -mapping.host_address % PAGE_BYTES
        start = mapping.host_address + skipped
        if (mapping.device_address + skipped) % PAGE_BYTES:
            mapping.free()
            raise MemoryError(f"{nbytes} bytes were mapped off the pages, at {mapping.device_address:#x}")
        return _Block(start, start + nbytes, mapping.device_address - mapping.host_address, mapping)
