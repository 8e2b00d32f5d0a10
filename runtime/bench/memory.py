"""How much memory this process holds, and whether that grows."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.telemetry.load import resident_bytes

_SELF = Path("/proc/self")


def peak_bytes() -> int:
    """The most that it has held since the start, or since `reset_peak`."""
    # Not getrusage: its figure outlives exec and would be the parent's.
    status = (_SELF / "status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Let the peak begin anew, where the kernel allows it."""
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
        """Sample, if it is time; to be called with every frame."""
        if frame % self._every == 0 and self._count < len(self._frames):
            self._frames[self._count], self._bytes[self._count] = frame, resident_bytes()
            self._count += 1

    @property
    def frames(self) -> NDArray[np.int64]:
        """Numbers of the frames at which it was sampled."""
        return self._frames[: self._count]

    @property
    def nbytes(self) -> NDArray[np.int64]:
        """What was resident then."""
        return self._bytes[: self._count]

    def growth_bytes(self) -> int:
        """By how much the last quarter of the run held more than the one before, medians; 0 if it was too short."""
        quarter = self._count // 4
        if quarter < 2:
            return 0
        before, last = self.nbytes[-2 * quarter : -quarter], self.nbytes[-quarter:]
        return int(np.median(last) - np.median(before))
