"""Account of the pixels that the CPU copies: every copy of a frame is added to it.

Views that are composed of frames, and pictures that are encoded, are new pictures and no copies. On the mapped path
nothing is copied between camera and engine, and the account of a frame there is 0. What the device moves by itself (a
GPU that reads mapped memory, a camera that writes by DMA) is no copy by the CPU.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from numpy.typing import NDArray


class CopyAccount:
    """Bytes of pixels that the CPU has copied, by place, in constant memory; any thread may add.

    A place is a short name that is the same each time, e.g. ``camera: decoded picture``.
    """

    def __init__(self) -> None:
        self._by_place: dict[str, int] = {}
        self._frames = 0
        self._total_bytes = self._at_frame_start = 0
        self._lock = threading.Lock()

    def add(self, place: str, nbytes: int, elapsed_s: float | None = None) -> None:  # noqa: ARG002
        """Count ``nbytes`` of pixels copied at ``place``, in ``elapsed_s`` seconds if that is known.

        The time is for accounts that keep it, as that of `tremorscope bench` does.
        """
        with self._lock:
            self._by_place[place] = self._by_place.get(place, 0) + nbytes
            self._total_bytes += nbytes

    def frame_done(self) -> int:
        """Count a finished frame; returns the bytes that were copied since the frame before was finished."""
        with self._lock:
            frame_bytes = self._total_bytes - self._at_frame_start
            self._at_frame_start = self._total_bytes
            self._frames += 1
            return frame_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes copied since the start."""
        return self._total_bytes

    @property
    def frames(self) -> int:
        """Finished frames."""
        return self._frames

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
