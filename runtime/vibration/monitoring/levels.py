"""Levels of a quantity: peak and RMS displacement in windows of time, and the baseline, median and scatter learned
over a stated time in constant memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

FEWEST_READINGS = 10
_STEP_S = 1.0
"""Change of the difference between Unix time and the steady clock from which on the former was set."""
_MOST_KEPT = 1024
"""Readings kept at most; beyond, every other one is dropped."""
_DEVIATIONS_PER_MAD = 1.4826
"""Standard deviation over median absolute deviation, for readings that scatter normally."""


@dataclass(frozen=True)
class Baseline:
    """Median and scatter of a quantity over the time of learning."""

    value: float
    """Median of the readings, in the quantity's own unit."""
    scatter: float
    """Standard deviation of one reading, estimated from the median absolute deviation; the same unit."""
    readings: int
    from_s: float
    to_s: float


@dataclass(frozen=True)
class Learning:
    """A baseline that is being learned, as it is carried over a restart or a change of the rules."""

    source: str
    """Region or mode whose readings are learned."""
    kept: tuple[float, ...]
    """The even selection of readings, in the quantity's own unit."""
    stride: int
    """One in so many readings is kept."""
    readings: int
    learned_s: float
    """Time with readings so far, of the ``learning_s`` that are wanted."""
    from_s: float
    to_s: float
    """Unix time of the first reading and of the latest."""


class BaselineLearner:
    """Learns a baseline from the first reading on, for ``learning_s`` seconds and ten readings at least.

    Uses medians, so that a lorry or a few wrong peaks meanwhile do not shift it. Of a long time an even selection
    of at most 1024 readings is kept. Only time with readings counts, on the steady clock: a silence longer than
    ``longest_gap_s`` counts as ``longest_gap_s``, the time between two processes not at all.
    """

    def __init__(
        self,
        learning_s: float,
        *,
        source: str = "",
        longest_gap_s: float = math.inf,
        before: Learning | None = None,
    ) -> None:
        """Begin anew, or resume the learning ``before`` if it is of the same source."""
        self._learning_s, self._longest_gap_s = learning_s, longest_gap_s
        known = before if before and before.source == source else Learning(source, (), 1, 0, 0.0, 0.0, 0.0)
        self._source = source
        self._kept = list(known.kept)
        self._stride, self._count = known.stride, known.readings
        self._learned_s = known.learned_s
        self._from_s, self._to_s = known.from_s, known.to_s
        self._latest_s: float | None = None

    @property
    def readings(self) -> int:
        """Number of readings taken."""
        return self._count

    @property
    def learning(self) -> Learning:
        """State of the unfinished baseline, from which another learner can resume."""
        return Learning(
            source=self._source,
            kept=tuple(self._kept),
            stride=self._stride,
            readings=self._count,
            learned_s=self._learned_s,
            from_s=self._from_s,
            to_s=self._to_s,
        )

    def add(self, steady_s: float, value: float, unix_s: float | None = None) -> Baseline | None:
        """Take a finite reading; returns the baseline when the time is over, and None before.

        Args:
            steady_s: time of the reading on the steady clock.
            value: in the quantity's own unit.
            unix_s: Unix time of the reading; None if both clocks are one.
        """
        self._pass_time(steady_s, steady_s if unix_s is None else unix_s)
        if self._count % self._stride == 0:
            self._kept.append(value)
        if len(self._kept) >= _MOST_KEPT:
            self._kept = self._kept[::2]
            self._stride *= 2
        self._count += 1
        if self._learned_s < self._learning_s or self._count < FEWEST_READINGS:
            return None
        values = np.asarray(self._kept)
        middle = float(np.median(values))
        scatter = _DEVIATIONS_PER_MAD * float(np.median(np.abs(values - middle)))
        return Baseline(middle, scatter, self._count, self._from_s, self._to_s)

    def _pass_time(self, steady_s: float, unix_s: float) -> None:
        if self._count == 0:
            self._from_s = unix_s
        elif self._latest_s is not None:
            passed_s = max(0.0, steady_s - self._latest_s)
            self._learned_s += min(passed_s, self._longest_gap_s)
            set_by_s = unix_s - self._to_s - passed_s
            if abs(set_by_s) > _STEP_S:
                self._from_s += set_by_s  # the clock was set: give the start in the new time as well
        self._latest_s, self._to_s = steady_s, unix_s


FEWEST_KNOWN = 0.5
"""Share of a window's frames that must have been measured for it to count."""


@dataclass(frozen=True)
class Levels:
    """Peak and RMS displacement in one window, in the unit that the samples had."""

    start_s: float
    end_s: float
    peak: float
    """Largest distance from the reference position, static deflection included; NaN if too little is known."""
    rms: float
    """RMS distance from the window's own mean position: vibration alone; NaN if too little is known."""
    samples: int
    """Frames in which the region was measured."""
    lost: int
    """Frames in which it was not."""


class LevelWindow:
    """Gathers displacements, one a frame, into windows of equal length that follow each other."""

    def __init__(self, window_s: float) -> None:
        if not 0 < window_s < math.inf:
            raise ValueError(f"a window of {window_s} s is not a finite time above 0 s")
        self._window_s = window_s
        self._start_s: float | None = None
        self._latest_s = 0.0
        self._count = self._lost = 0
        self._mean_x = self._mean_y = self._squares = self._peak = 0.0

    def add(self, time_s: float, x: float, y: float) -> Levels | None:
        """Take one frame's displacement; NaN where it could not be measured.

        Returns the levels of the window before, once a frame later than its end arrives. Time that runs
        backwards ends a window early.
        """
        finished = None
        if self._start_s is not None and not self._latest_s <= time_s < self._start_s + self._window_s:
            finished, self._start_s = self._levels(self._start_s), None
        if self._start_s is None:
            self._start_s = time_s
            self._clear()
        self._latest_s = time_s
        self._take(x, y)
        return finished

    def _take(self, x: float, y: float) -> None:
        if not (math.isfinite(x) and math.isfinite(y)):
            self._lost += 1
            return
        # Welford's recursion: the mean may be pixels away and the vibration a thousandth of one.
        self._count += 1
        step_x, step_y = x - self._mean_x, y - self._mean_y
        self._mean_x += step_x / self._count
        self._mean_y += step_y / self._count
        self._squares += step_x * (x - self._mean_x) + step_y * (y - self._mean_y)
        self._peak = max(self._peak, math.hypot(x, y))

    def _levels(self, start_s: float) -> Levels:
        known = self._count > 0 and self._count >= FEWEST_KNOWN * (self._count + self._lost)
        peak = self._peak if known else math.nan
        rms = math.sqrt(max(self._squares, 0.0) / self._count) if known else math.nan
        return Levels(start_s, self._latest_s, peak, rms, self._count, self._lost)

    def _clear(self) -> None:
        self._count = self._lost = 0
        self._mean_x = self._mean_y = self._squares = self._peak = 0.0
