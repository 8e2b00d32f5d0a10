"""Periodic readings in a thread of their own, so that a file of the kernel that hangs delays nothing else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_STALE_PERIODS, _STALE_S = 5.0, 10.0
"""Age from which a reading is discarded: so many periods, and no less than this."""


class Sampler(Generic[T]):
    """Takes readings at regular intervals; the latest is available without waiting, or None where it is old.

    ``work`` goes into a thread of its own: a reading that hangs, e.g. because a chip does not answer, holds up that
    thread alone, which then ends with the process.
    """

    def __init__(
        self, read: Callable[[], T], every_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._every_s, self._clock = read, every_s, clock
        self._stale_s = max(_STALE_PERIODS * every_s, _STALE_S)
        self._stop = threading.Event()
        self._latest: tuple[float, T] | None = None
        self._begun_s: float | None = None

    def work(self) -> None:
        """Take readings until it is closed."""
        while not self._stop.is_set():
            self._begun_s = self._clock()
            try:
                reading = self._read()
            finally:
                self._begun_s = None
            self._latest = self._clock(), reading
            self._stop.wait(self._every_s)

    def close(self) -> None:
        """End after the present reading, without waiting for it."""
        self._stop.set()

    def latest(self) -> T | None:
        """The latest reading; None before the first, and where it is too old."""
        latest = self._latest
        return latest[1] if latest is not None and self._clock() - latest[0] < self._stale_s else None

    def hangs_s(self) -> float:
        """Duration in s of a reading that takes unusually long; 0 where all is well."""
        begun_s = self._begun_s
        late_s = 0.0 if begun_s is None else self._clock() - begun_s
        return late_s if late_s >= self._stale_s else 0.0
