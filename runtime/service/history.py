"""History of displacement: of the latest minutes, from which spectra are computed; of blocks for the store,
collected frame by frame; and of the modes that the process before has followed.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.health import NaturalFrequency
from tremorscope.runtime.store.records import Channel, ModeRecord, SeriesBlock
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.monitoring.tracking import FrequencyTracker, Sighting
from tremorscope.runtime.vibration.spectra.region_series import ROW, RegionSeries

Values = NDArray[np.float64]


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
        self._rows = np.full((most_samples, len(self.names), ROW), np.nan)
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
        """Keep one frame's measurement, (regions, 7)."""
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
            RegionSeries.of_rows(
                name, self._regions[at], np.ascontiguousarray(rows[:, at].T), floors[at], rounding[at]
            )
            for at, name in enumerate(self.names)
            if np.isfinite(floors[at]).any()
        )
        return Recorded(times_s, unix_s, series)


_UNKNOWN_DEVIATION = 0.01
"""Relative standard deviation of a frequency that was stored without one."""


def followed_before(modes: Iterable[ModeRecord]) -> FrequencyTracker:
    """A tracker that follows the modes of a store, each from where it was seen last, under its number."""
    tracker, latest = FrequencyTracker(), {}
    for mode in modes:
        if (number := _number(mode)) is not None:
            latest[number] = mode
    for number, mode in latest.items():
        deviation_hz = mode.frequency_deviation_hz or _UNKNOWN_DEVIATION * mode.frequency_hz
        shape = np.array([complex(point.real, point.imaginary) for point in mode.shape])
        sighting = Sighting(mode.frequency_hz, deviation_hz, shape if shape.size else None)
        tracker.resume(number, mode.time_s, sighting)
    return tracker


def points_of(modes: Iterable[ModeRecord]) -> list[NaturalFrequency]:
    """The same modes as points of natural frequencies over time."""
    return [
        NaturalFrequency(
            number, mode.frequency_hz, mode.frequency_deviation_hz, mode.damping_ratio, mode.time_s
        )
        for mode in modes
        if (number := _number(mode)) is not None
    ]


def _number(mode: ModeRecord) -> int | None:
    return int(mode.label) if mode.label.isdecimal() else None


class SeriesCollector:
    """Collects samples of some channels; never waits and never touches the disk."""

    def __init__(
        self, channels: Sequence[Channel], *, block_s: float = 5.0, most_samples: int = 2048
    ) -> None:
        """Make room for a block.

        Args:
            channels: in the order in which their values will come.
            block_s: a block spans at most so long; a power cut costs one block and what is not yet written.
            most_samples: a block holds at most so many samples of each channel.
        """
        self._channels = tuple(channels)
        self._block_s = block_s
        self._times: NDArray[np.float64] = np.empty(most_samples, np.float64)
        self._values: NDArray[np.float32] = np.empty((len(self._channels), most_samples), np.float32)
        self._count = 0
        self.backward_steps = 0
        """Number of samples whose time did not advance; each begins a block of its own."""
        self.undated = 0
        """Samples that were left out because their time is not a finite number."""

    def add(self, time_s: float, values: ArrayLike) -> SeriesBlock | None:
        """Take one sample of each channel, NaN where unknown; returns the block before when it is complete."""
        if not math.isfinite(time_s):
            self.undated += 1
            return None
        finished = None
        if self._count:
            backward = time_s <= self._times[self._count - 1]
            self.backward_steps += bool(backward)
            full = self._count == len(self._times) or time_s - self._times[0] >= self._block_s
            if backward or full:
                finished = self.flush()
        self._times[self._count] = time_s
        self._values[:, self._count] = values
        self._count += 1
        return finished

    def flush(self) -> SeriesBlock | None:
        """The block so far, or None if it is empty."""
        if self._count == 0:
            return None
        block = SeriesBlock(
            self._channels, self._times[: self._count].copy(), self._values[:, : self._count].copy()
        )
        self._count = 0
        return block
