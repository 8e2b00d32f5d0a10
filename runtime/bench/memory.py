"""Resident memory of this process, its peak and its growth."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.telemetry.load import resident_bytes

_SELF = Path("/proc/self")


def peak_bytes() -> int:
    """Peak resident memory since the start, or since `reset_peak`."""
    # Not getrusage: its figure outlives exec and would be the parent's.
    status = (_SELF / "status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Reset the peak, where the kernel allows it."""
    with contextlib.suppress(OSError):
        (_SELF / "clear_refs").write_text("5", encoding="ascii")


class MemoryTrace:
    """Resident memory over a run, sampled at most ``samples`` times, in memory that is made at the start."""

    def __init__(self, frames: int, samples: int = 400) -> None:
        self._every = max(1, -(-frames // samples))
        self._frames = np.zeros(samples + 1, np.int64)
        self._bytes = np.zeros(samples + 1, np.int64)
        self._count = 0

    def look(self, frame: int) -> None:
        """Sample, if it is due; to be called with every frame."""
        if frame % self._every == 0 and self._count < len(self._frames):
            self._frames[self._count], self._bytes[self._count] = frame, resident_bytes()
            self._count += 1

    @property
    def frames(self) -> NDArray[np.int64]:
        """Numbers of the frames at which it was sampled."""
        return self._frames[: self._count]

    @property
    def nbytes(self) -> NDArray[np.int64]:
        """Resident bytes at these frames."""
        return self._bytes[: self._count]

    def growth_bytes(self) -> int:
        """Growth from the third quarter of the run to the last, by medians; 0 if the run was too short."""
        quarter = self._count // 4
        if quarter < 2:
            return 0
        before, last = self.nbytes[-2 * quarter : -quarter], self.nbytes[-quarter:]
        return int(np.median(last) - np.median(before))
