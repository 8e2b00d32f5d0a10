"""Peak and RMS displacement of a region in consecutive windows of time."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
