"""Modes that the process before has followed: their numbers and history outlive a restart."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tremorscope.runtime.live.feed import FrequencyPoint
from tremorscope.runtime.store.records import ModeRecord
from tremorscope.runtime.vibration.monitoring.tracking import FrequencyTracker, Sighting

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


def points_of(modes: Iterable[ModeRecord]) -> list[FrequencyPoint]:
    """The same modes as points of natural frequencies over time."""
    return [
        FrequencyPoint(number, mode.time_s, mode.frequency_hz, mode.frequency_deviation_hz)
        for mode in modes
        if (number := _number(mode)) is not None
    ]


def _number(mode: ModeRecord) -> int | None:
    return int(mode.label) if mode.label.isdecimal() else None
