"""Distributions of the time of each stage for a frame, over months, in constant memory; and the meter of frames that
pass a thread, of their rate and these times.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.rates import MeasuredRate, RateWindow

RELATIVE_ERROR = 0.01
"""Bound on the error of a percentile, within the range of the histogram."""
SHORTEST_S, LONGEST_S = 1e-6, 100.0
_GROWTH = (1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR)
_PER_LOG = 1 / math.log(_GROWTH)
_AT_ONCE = 256
_BINS = math.ceil(math.log(LONGEST_S / SHORTEST_S) * _PER_LOG) + 1


@dataclass(frozen=True)
class LatencySummary:
    """The distribution of one stage's times."""

    count: int
    median_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    """Exact."""
    mean_ms: float = 0.0
    """Exact."""
    jitter_ms: float = 0.0
    """Standard deviation."""


class LatencyHistogram:
    """Counts times in bins that grow by a constant factor, from 1 us to 100 s.

    Every time in a bin is within 1 % of the value that stands for it, so percentiles are too; the maximum is exact.
    The bins are those of Masson, Rim and Lee, DDSketch: a fast and fully-mergeable quantile sketch with
    relative-error guarantees (VLDB 2019), section 2, at a fixed range. 7.4 kB.

    >>> times = LatencyHistogram()
    >>> times.quantile_s(0.5)
    0.0
    >>> for elapsed_s in (0.010, 0.011, 0.012, 0.050):
    ...     times.add(elapsed_s)
    >>> abs(times.quantile_s(0.5) / 0.011 - 1) < 0.01
    True
    >>> times.summary().max_ms
    50.0
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self._count = 0
        self._longest_s = 0.0
        self._mean_s = self._squares = 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of memory of the bins."""
        return self._counts.nbytes

    def add(self, *elapsed_s: float) -> None:
        """Count times, cheapest many at once; those outside of the range go into the outermost bins."""
        times_s = np.array(elapsed_s)
        ratios = times_s.clip(SHORTEST_S, LONGEST_S) / SHORTEST_S
        np.add.at(self._counts, np.ceil(np.log(ratios) * _PER_LOG).astype(np.intp), 1)
        self._longest_s = max(self._longest_s, *elapsed_s)
        # Chan, Golub and LeVeque, 1979: no sum of squares from which digits are lost over months.
        mean_s, before = float(times_s.mean()), self._count
        self._count += times_s.size
        off_s, share = mean_s - self._mean_s, times_s.size / self._count
        self._mean_s += off_s * share
        self._squares += float(((times_s - mean_s) ** 2).sum()) + off_s**2 * before * share

    def quantile_s(self, part: float) -> float:
        """The time that ``part`` (0 to 1) of all times do not exceed (nearest rank); 0 if there are none."""
        if not 0 <= part <= 1:
            raise ValueError(f"quantile at {part}: not within 0 to 1")
        if not self._count:
            return 0.0
        rank = max(1, math.ceil(part * self._count))
        at = int(np.searchsorted(np.cumsum(self._counts), rank))
        # Bin n holds (g^(n-1), g^n]; 2 g^n / (g + 1) is within 1 % of all of it.
        return min(SHORTEST_S * 2 * _GROWTH**at / (_GROWTH + 1), self._longest_s)

    def summary(self) -> LatencySummary:
        """Median, 95th and 99th percentile, maximum, mean and spread."""
        median_ms, p95_ms, p99_ms = (1e3 * self.quantile_s(part) for part in (0.5, 0.95, 0.99))
        jitter_s = math.sqrt(self._squares / self._count) if self._count else 0.0
        return LatencySummary(
            self._count, median_ms, p95_ms, p99_ms, 1e3 * self._longest_s, 1e3 * self._mean_s, 1e3 * jitter_s
        )

    def clear(self) -> None:
        """Remove all times, in the same memory."""
        self._counts[:] = 0
        self._count, self._longest_s = 0, 0.0
        self._mean_s = self._squares = 0.0


class StageLatencies:
    """One histogram for each of a fixed set of stages; any thread may add or read."""

    def __init__(self, stages: Iterable[str]) -> None:
        self._histograms = {stage: LatencyHistogram() for stage in stages}
        self._fresh: dict[str, deque[float]] = {stage: deque() for stage in self._histograms}
        """Times that are not in the histograms yet: to put one in takes as long as all else that a frame costs."""
        self._lock = threading.Lock()

    def add(self, stage: str, elapsed_s: float) -> None:
        """Count the time of one frame in a stage.

        Raises:
            KeyError: there is no such stage.
        """
        fresh = self._fresh[stage]
        fresh.append(elapsed_s)
        if len(fresh) >= _AT_ONCE:
            with self._lock:
                self._settle()

    def summaries(self) -> dict[str, LatencySummary]:
        """The distribution of every stage that has been timed."""
        with self._lock:
            self._settle()
            return {name: each.summary() for name, each in self._histograms.items() if each._count}

    def quantiles_ms(self, stage: str, parts: Iterable[float]) -> list[float]:
        """Times in ms that the given parts (0 to 1) of a stage's frames did not exceed.

        Raises:
            KeyError: there is no such stage.
        """
        with self._lock:
            self._settle()
            return [1e3 * self._histograms[stage].quantile_s(float(part)) for part in parts]

    def drain(self) -> dict[str, LatencySummary]:
        """Distributions since the last call, e.g. to publish them; every time is reported exactly once."""
        with self._lock:
            self._settle()
            found = {name: each.summary() for name, each in self._histograms.items() if each._count}
            for each in self._histograms.values():
                each.clear()
            return found

    def clear(self) -> None:
        """Remove all times."""
        self.drain()

    def _settle(self) -> None:
        for stage, fresh in self._fresh.items():
            if count := len(fresh):  # others may add meanwhile, and none takes away
                self._histograms[stage].add(*[fresh.popleft() for _ in range(count)])


STAGES = ("capture", "wait", "record", "measure", "step", "output", "total")
"""Timed stages of a frame.

capture: from the sensor to the whole frame in the ring, copies included; only where the camera knows when that was.
wait: in the ring, until the thread took it.
record: keeping it for clips.
measure: measuring it.
step: the magnifier, from the frame to the finished picture; only of frames that were magnified.
output: handing the picture to the live feed.
total: all of it, from the capture, or where the camera does not know that, from the arrival in the ring.
"""
_RATE_EVERY_S = 1.0


class FrameMeter:
    """Rate and stage times of the frames of one thread; any thread may read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is that of ``FrameInfo.captured_s`` and ``arrived_s``, in seconds."""
        self._clock = clock
        self._window = RateWindow()
        self._due_s: float | None = None
        self.times = StageLatencies(STAGES)
        """Times of each stage."""
        self.rate: MeasuredRate | None = None
        """Measured from the sensor's timestamps, renewed once a second."""

    def took(self, info: FrameInfo) -> float:
        """Count a frame that the thread has just taken; returns the time."""
        now_s = self._clock()
        if info.arrived_s is not None:
            if info.captured_s is not None:
                self.times.add("capture", info.arrived_s - info.captured_s)
            self.times.add("wait", now_s - info.arrived_s)
        self._window.add(info)
        if self._due_s is None or now_s >= self._due_s:
            self._due_s = now_s + _RATE_EVERY_S
            self.rate = self.measure()
        return now_s

    def passed(self, stage: str, since_s: float) -> float:
        """Count a stage that began at ``since_s`` and ends now; returns the time."""
        now_s = self._clock()
        self.times.add(stage, now_s - since_s)
        return now_s

    def finished(self, info: FrameInfo, now_s: float) -> None:
        """Count a frame that is through all stages at ``now_s``."""
        since_s = info.captured_s if info.captured_s is not None else info.arrived_s
        if since_s is not None:
            self.times.add("total", now_s - since_s)

    def measure(self) -> MeasuredRate | None:
        """Rate and jitter of the latest frames, measured now; None of fewer than eight."""
        return self._window.measure()
