"""Frame memory: allocated once at the start, page-aligned, reused until the end; and the account of the pixels that
the CPU copies.

Every frame is stored once. The camera writes it into a slot, the engine reads it there through a pointer,
and a sink reads it there as well; nothing is allocated while frames flow.

Views that are composed of frames, and pictures that are encoded, are new pictures and no copies. Clips and viewers
hold leases of the camera's ring; on the mapped path nothing is copied between camera and viewer. What the device moves
by itself (a GPU that reads mapped memory, a camera that writes by DMA) is no copy by the CPU.
"""

from __future__ import annotations

import mmap
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PAGE_BYTES = mmap.PAGESIZE
CHANNELS = 3
"""Default number of bytes a pixel: red, green, blue."""

Allocator = Callable[[int], NDArray[np.uint8]]
"""Takes a number of bytes and returns that much writable memory, u8[nbytes], page-aligned and zeroed."""


@dataclass(frozen=True)
class FrameFormat:
    """Size and rate of the camera's frames, as known before it runs."""

    width_px: int
    height_px: int
    rate_hz: float

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.width_px, self.height_px


def allocate_host(nbytes: int) -> NDArray[np.uint8]:
    """Ordinary memory, u8[nbytes], page-aligned and zeroed: the allocator where there is no GPU.

    Raises:
        MemoryError: the system has no room for it.
    """
    try:
        pages = mmap.mmap(-1, nbytes)
    except OSError as error:
        raise MemoryError(f"cannot allocate {nbytes} bytes for frames") from error
    return np.frombuffer(pages, dtype=np.uint8)  # the array keeps the mapping alive


def allocate_frames(
    slots: int, *, width_px: int, height_px: int, channels: int, allocate: Allocator
) -> tuple[NDArray[np.uint8], ...]:
    """Equal frames in one block of memory, each u8[H, W, C], on pages of its own as memory that a device maps must be.

    Raises:
        MemoryError: there is no room for them.
    """
    if slots < 1 or width_px < 1 or height_px < 1 or channels < 1:
        raise ValueError(
            f"ring of {slots} frames of {width_px}x{height_px}x{channels}: every number must be 1 or more"
        )
    frame_bytes = height_px * width_px * channels
    stride_bytes = -(-frame_bytes // PAGE_BYTES) * PAGE_BYTES
    memory = allocate(slots * stride_bytes)
    return tuple(
        memory[start : start + frame_bytes].reshape(height_px, width_px, channels)
        for start in range(0, slots * stride_bytes, stride_bytes)
    )


class FrameRing:
    """A fixed number of equal frames in one block of memory, addressed by a running number.

    Frame ``n`` lies in slot ``n % slots``: whoever writes frame ``n`` must know that nobody reads frame
    ``n - slots`` any more.
    """

    def __init__(
        self,
        slots: int,
        *,
        width_px: int,
        height_px: int,
        channels: int = CHANNELS,
        allocate: Allocator = allocate_host,
    ) -> None:
        """Make the memory, ``slots`` times a frame's bytes rounded up to whole pages.

        Args:
            slots: number of frames.
            width_px: width of every frame in pixels.
            height_px: height of every frame in pixels.
            channels: bytes a pixel: 3, or 4 where camera and graph have an unused fourth.
            allocate: makes the memory; a runtime's own where its engines read or write the frames.

        Raises:
            MemoryError: there is no room for it.
        """
        self._frames = allocate_frames(
            slots, width_px=width_px, height_px=height_px, channels=channels, allocate=allocate
        )

    def frame(self, number: int) -> NDArray[np.uint8]:
        """The slot of frame ``number``: u8[H, W, C], contiguous, a view that lives as long as the ring."""
        return self._frames[number % len(self._frames)]


class CopyAccount:
    """Bytes of pixels that the CPU has copied, by place, in constant memory; any thread may add.

    A place is a short name that is the same each time, e.g. ``camera: decoded picture``.
    """

    def __init__(self) -> None:
        self._by_place: dict[str, int] = {}
        self._lock = threading.Lock()

    def add(self, place: str, nbytes: int, elapsed_s: float | None = None) -> None:  # noqa: ARG002
        """Count ``nbytes`` of pixels copied at ``place``, in ``elapsed_s`` seconds if that is known.

        The time is for accounts that keep it, as that of `tremorscope bench` does.
        """
        with self._lock:
            self._by_place[place] = self._by_place.get(place, 0) + nbytes

    @property
    def total_bytes(self) -> int:
        """Bytes copied since the start."""
        return sum(self.by_place().values())

    def by_place(self) -> dict[str, int]:
        """Bytes copied since the start, by place."""
        with self._lock:
            return dict(self._by_place)


def copy_pixels(
    source: NDArray[np.uint8], target: NDArray[np.uint8], account: CopyAccount | None, place: str
) -> None:
    """Copy a picture into another of the same shape, and count it in ``account`` unless that is None."""
    begun_s = time.perf_counter()
    np.copyto(target, source)
    if account is not None:
        account.add(place, target.nbytes, time.perf_counter() - begun_s)
