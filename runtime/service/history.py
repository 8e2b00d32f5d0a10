"""History of displacement over the latest minutes, from which spectra are computed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries

Values = NDArray[np.float64]

X, Y, QUALITY, GAIN, BRIGHTNESS = range(5)
"""Columns of a region's row."""


@dataclass(frozen=True, eq=False)
class Recorded:
    """A copy of the latest minutes."""

    times_s: Values
    """(N,) on the camera's clock."""
    unix_s: float
    """Unix time of the last of them."""
    regions: tuple[RegionSeries, ...]
    """Series of the regions that were being measured."""


class MotionHistory:
    """Ring buffer of measurements, one row a frame: one thread adds, another takes copies."""

    def __init__(self, names: Sequence[str], regions: Sequence[Region], *, most_samples: int) -> None:
        self.names = tuple(names)
        self._regions = tuple(regions)
        self._times_s = np.zeros(most_samples)
        self._rows = np.full((most_samples, len(self.names), 5), np.nan)
        self._count = 0
        self._unix_s = 0.0
        self._floors_px: Values = np.full((len(self.names), 2), np.inf)
        self._rounding_px: Values = np.zeros((len(self.names), 2))
        self._lock = threading.Lock()

    def begin(self, floors_px: Values, rounding_px: Values) -> None:
        """Forget all, and take note of the noise floors (regions, 2); infinite where nothing can be measured."""
        with self._lock:
            self._count = 0
            self._floors_px, self._rounding_px = floors_px.copy(), rounding_px.copy()

    def add(self, timestamp_s: float, unix_s: float, row: ArrayLike) -> None:
        """Keep one frame's measurement, (regions, 5)."""
        with self._lock:
            slot = self._count % len(self._times_s)
            self._times_s[slot], self._rows[slot] = timestamp_s, row
            self._count += 1
            self._unix_s = unix_s

    def latest(self, seconds: float) -> Recorded | None:
        """Copy of the latest ``seconds``; None without samples."""
        with self._lock:
            kept = min(self._count, len(self._times_s))
            if not kept:
                return None
            order = np.arange(self._count - kept, self._count) % len(self._times_s)
            times_s = self._times_s[order]
            order = order[times_s >= times_s[-1] - seconds]
            times_s, rows, unix_s = self._times_s[order], self._rows[order], self._unix_s
            floors, rounding = self._floors_px, self._rounding_px
        series = tuple(
            RegionSeries(
                name,
                self._regions[at],
                x_px=np.ascontiguousarray(rows[:, at, X]),
                y_px=np.ascontiguousarray(rows[:, at, Y]),
                quality=np.ascontiguousarray(rows[:, at, QUALITY]),
                light=np.ascontiguousarray(rows[:, at, [GAIN, BRIGHTNESS]].T),
                noise_floor_px=(float(floors[at, 0]), float(floors[at, 1])),
                rounding_floor_px=(float(rounding[at, 0]), float(rounding[at, 1])),
            )
            for at, name in enumerate(self.names)
            if np.isfinite(floors[at]).any()
        )
        return Recorded(times_s, unix_s, series)
