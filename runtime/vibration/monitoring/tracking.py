"""Tracking of natural frequencies over hours and days."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.modes import mac

Complex = NDArray[np.complexfloating[Any, Any]]


@dataclass(frozen=True)
class Sighting:
    """A mode as found by one analysis of some minutes."""

    frequency_hz: float
    frequency_sigma_hz: float
    shape: Complex | None = None
    """(channels,); None where only one channel was measured."""


@dataclass(frozen=True)
class TrackPoint:
    """One point in the history of a mode."""

    time_s: float
    frequency_hz: float
    frequency_sigma_hz: float
    temperature_c: float | None


@dataclass(frozen=True)
class TrackerSettings:
    """Limits of a mode's change, and of its confirmation and expiry."""

    gate: float = 0.04
    """Largest relative change from one sighting to the next."""
    least_mac: float = 0.6
    """MAC below which two shapes are different modes."""
    drift_a_hour: float = 0.003
    """Usual relative change per hour: process noise of the estimate."""
    confirm_after: int = 3
    """Sightings after which a mode is confirmed."""
    forget_after_s: float = 86400.0
    """Time without a sighting after which a mode is dropped."""
    history: int = 20000
    """Points kept of each mode: half a year of an analysis every ten minutes."""


@dataclass
class Track:
    """State of one tracked mode."""

    number: int
    frequency_hz: float
    """Smoothed."""
    sigma_hz: float
    shape: Complex | None
    points: deque[TrackPoint]
    seen: int = 0
    last_s: float = field(default=0.0)
    confirmed: bool = False

    @property
    def latest(self) -> TrackPoint:
        """The last sighting."""
        return self.points[-1]


class FrequencyTracker:
    """Tracker that keeps every mode's number while its frequency changes with weather and load.

    Sightings are assigned to tracks all at once, so that the sum of squared distances, in units of the largest
    allowed, is least; modes that cross keep their numbers if their shapes differ. Each frequency is
    smoothed by a one-dimensional Kalman filter of a random walk.
    """

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self.settings = settings or TrackerSettings()
        self._tracks: list[Track] = []
        self._next = 1
        self._last_s = -math.inf

    @property
    def tracks(self) -> tuple[Track, ...]:
        """All modes that were seen often enough, lowest frequency first."""
        return tuple(sorted((t for t in self._tracks if t.confirmed), key=lambda t: t.frequency_hz))

    def resume(self, number: int, time_s: float, sighting: Sighting) -> None:
        """Resume a mode that an earlier process tracked, under the number that it had then.

        Call it before the first ``update``, for each mode with its last sighting.
        """
        following = max(self._next, number + 1)
        track = self._begin(time_s, sighting)
        track.number, track.confirmed = number, True
        self._take(track, time_s, sighting, None)
        self._next = following

    def shift(self, by_s: float) -> None:
        """Shift all times by the amount by which the clock was set."""
        self._last_s += by_s
        for track in self._tracks:
            track.last_s += by_s

    def update(
        self, time_s: float, sightings: Sequence[Sighting], temperature_c: float | None = None
    ) -> tuple[Track, ...]:
        """Take the sightings of one analysis, and return the confirmed modes among them.

        Raises:
            OptionFault: time runs backwards.
        """
        if not time_s > self._last_s:
            raise OptionFault(
                f"an analysis at {time_s:.3f} s after one at {self._last_s:.3f} s",
                remedy="give analyses in the order of their times",
            )
        self._last_s = time_s
        self._tracks = [t for t in self._tracks if time_s - t.last_s <= self._patience_s(t)]
        seen: list[Track] = []
        for sighting, track in zip(sightings, self._assign(time_s, sightings), strict=True):
            followed = track or self._begin(time_s, sighting)
            self._take(followed, time_s, sighting, temperature_c)
            seen.append(followed)
        return tuple(track for track in seen if track.confirmed)

    def _patience_s(self, track: Track) -> float:
        """Time without a sighting after which a track is dropped: a tenth as long until it is confirmed."""
        return self.settings.forget_after_s * (1.0 if track.confirmed else 0.1)

    def _assign(self, time_s: float, sightings: Sequence[Sighting]) -> list[Track | None]:
        partners: list[Track | None] = [None] * len(sightings)
        if not (sightings and self._tracks):
            return partners
        cost = np.array(
            [[self._distance(time_s, each, track) for track in self._tracks] for each in sightings]
        )
        rows, columns = optimize.linear_sum_assignment(np.where(np.isfinite(cost), cost, 1e6))
        for row, column in zip(rows, columns, strict=True):
            if math.isfinite(cost[row, column]):
                partners[row] = self._tracks[column]
        return partners

    def _distance(self, time_s: float, sighting: Sighting, track: Track) -> float:
        away = abs(sighting.frequency_hz - track.frequency_hz) / track.frequency_hz
        hours = _hours_since(track, time_s)
        reach = self.settings.gate + self.settings.drift_a_hour * math.sqrt(hours)
        if away > reach:
            return math.inf
        likeness = 1.0
        if sighting.shape is not None and track.shape is not None and len(sighting.shape) == len(track.shape):
            likeness = mac(sighting.shape, track.shape)
            if likeness < self.settings.least_mac:
                return math.inf
        return (away / reach) ** 2 + (1 - likeness)

    def _begin(self, time_s: float, sighting: Sighting) -> Track:
        track = Track(
            self._next,
            sighting.frequency_hz,
            math.inf,
            sighting.shape,
            deque(maxlen=self.settings.history),
            last_s=time_s,
        )
        self._next += 1
        self._tracks.append(track)
        return track

    def _take(self, track: Track, time_s: float, sighting: Sighting, temperature_c: float | None) -> None:
        hours = _hours_since(track, time_s)
        before = track.sigma_hz**2 + (self.settings.drift_a_hour * track.frequency_hz) ** 2 * hours
        noise = max(sighting.frequency_sigma_hz, 1e-9) ** 2
        share = 1.0 if math.isinf(before) else before / (before + noise)
        track.frequency_hz += share * (sighting.frequency_hz - track.frequency_hz)
        track.sigma_hz = math.sqrt(share * noise)
        if sighting.shape is not None:
            track.shape = sighting.shape
        track.points.append(
            TrackPoint(time_s, sighting.frequency_hz, sighting.frequency_sigma_hz, temperature_c)
        )
        track.last_s = time_s
        track.seen += 1
        track.confirmed |= track.seen >= self.settings.confirm_after


def _hours_since(track: Track, time_s: float) -> float:
    """Hours since a track was seen; none where an earlier process saw it by a clock that was ahead."""
    return max(0.0, time_s - track.last_s) / 3600
