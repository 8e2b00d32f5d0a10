"""Resampling of measured series to evenly spaced times, by the frames' own timestamps; gaps stay gaps."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its rooms are loaded by those who enter them, see `vibration.monitoring.limits`
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.errors import OptionFault

Values = NDArray[np.float64]

_EVEN = 0.05
"""Deviation from even times, in intervals, up to which samples are taken as even."""
_BRIDGED_INTERVALS = 2.5
"""Longest step, in intervals, that is bridged: one missing frame is interpolated, more is a gap."""
_FEWEST = 16


@dataclass(frozen=True)
class Gap:
    """A time in which nothing was measured."""

    start_s: float
    end_s: float
    missing: int
    """Frames that should have come in between."""


@dataclass(frozen=True)
class EvenRun:
    """Evenly spaced samples without a gap."""

    start_s: float
    values: Values
    """(channels, samples)."""

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class EvenSeries:
    """A recording as runs of evenly spaced samples."""

    rate_hz: float
    runs: tuple[EvenRun, ...]
    gaps: tuple[Gap, ...]
    bridged: int
    """Single frames that were missing and have been interpolated."""
    interpolated: bool
    """True if the frames were so uneven that samples had to be interpolated to even times."""

    @property
    def longest_samples(self) -> int:
        """Samples of the longest run."""
        return max(run.samples for run in self.runs)

    @property
    def duration_s(self) -> float:
        """Time covered by runs, gaps left out."""
        return sum(run.samples for run in self.runs) / self.rate_hz


def check_times(time_s: ArrayLike) -> Values:
    """The times as float64 (N,), if they are finite and strictly increasing.

    Raises:
        OptionFault: time stands still, runs backwards or is not a number.

    >>> check_times([0.0, 0.04, 0.08]).dtype
    dtype('float64')
    >>> check_times([0.0, 0.04, 0.04])
    Traceback (most recent call last):
        ...
    tremorscope.runtime.errors.OptionFault: time does not run forwards: frame 3 is at 0.040000 s, ...
    """
    times = np.asarray(time_s, dtype=np.float64)
    wrong = np.flatnonzero(~(np.diff(times) > 0) | ~np.isfinite(times[1:]))
    if wrong.size:
        first = int(wrong[0])
        raise OptionFault(
            f"time does not run forwards: frame {first + 2} is at {times[first + 1]:.6f} s, "
            f"the one before at {times[first]:.6f} s",
            remedy="check the source's clock, or give the frames new times",
        )
    return times


def resample_evenly(time_s: ArrayLike, values: ArrayLike, *, tick_s: float = 0.0) -> EvenSeries:
    """Resample to even times: runs between the gaps, all at the mean rate of the recording.

    A frame that is NaN in any channel counts as missing. Frames that keep even time but for jitter below a
    twentieth of an interval, or the rounding of timestamps to ticks, are taken as they are; others are
    interpolated by a cubic spline, which damps what lies above about 0.35 times the rate. One missing frame
    in a row is interpolated and counted; longer gaps separate runs.

    Args:
        time_s: capture times, (N,), increasing.
        values: (channels, N) or (N,).
        tick_s: resolution of the timestamps.

    Raises:
        OptionFault: time does not run forwards, or too few frames in a row were measured.

    >>> time_s = np.delete(np.arange(100) / 25, [40, 70, 71, 72, 73])
    >>> series = resample_evenly(time_s, np.sin(time_s))
    >>> round(series.rate_hz, 6), series.bridged, [run.samples for run in series.runs]
    (25.0, 1, [70, 26])
    """
    times = check_times(time_s)
    channels = np.atleast_2d(np.asarray(values, dtype=np.float64))
    known = np.isfinite(channels).all(axis=0)
    if known.sum() < _FEWEST:
        raise OptionFault(
            f"{int(known.sum())} measured frames are too few for a spectrum",
            remedy=f"record at least {_FEWEST}, better some hundreds",
        )
    interval_s = _interval(times)
    times, channels = times[known], channels[:, known]
    steps = np.diff(times) / interval_s
    breaks = np.flatnonzero(steps > _BRIDGED_INTERVALS)
    runs, bridged, interpolated = [], 0, False
    for start, stop in itertools.pairwise([0, *(breaks + 1).tolist(), times.size]):
        if stop - start < _FEWEST:
            continue
        run, was_even = _even_run(times[start:stop], channels[:, start:stop], interval_s, tick_s)
        runs.append(run)
        bridged += int((steps[start : stop - 1] > 1.5).sum())
        interpolated |= not was_even
    if not runs:
        raise OptionFault(
            f"no {_FEWEST} frames in a row were measured", remedy="check the region, the light and the camera"
        )
    gaps = tuple(
        Gap(float(times[at]), float(times[at + 1]), round(float(steps[at])) - 1) for at in breaks.tolist()
    )
    return EvenSeries(1 / interval_s, tuple(runs), gaps, bridged, interpolated)


def _interval(times: Values) -> float:
    """Mean interval of the frames that follow each other, drops left out."""
    steps = np.diff(times)
    # Rounded timestamps have one of two intervals; only their mean is the true one.
    return float(steps[steps < 1.5 * np.median(steps)].mean())


def _even_run(times: Values, channels: Values, interval_s: float, tick_s: float) -> tuple[EvenRun, bool]:
    """One run on even times; True beside it if its own times were even enough to be taken as they are."""
    steps = np.round(np.diff(times) / interval_s).astype(np.int64)
    if steps.min() >= 1:
        places = np.concatenate([[0], np.cumsum(steps)])
        off_s = times - np.polyval(np.polyfit(places, times, 1), places)
        if np.abs(off_s).max() <= max(_EVEN * interval_s, tick_s):
            return EvenRun(float(times[0]), _bridge(places, channels)), True
    count = int((times[-1] - times[0]) / interval_s + 1e-6) + 1
    even = np.minimum(times[0] + interval_s * np.arange(count), times[-1])
    return EvenRun(float(times[0]), _spline(times, channels, even)), False


def _bridge(places: NDArray[np.int64], channels: Values) -> Values:
    """Samples at every place from the first to the last; single missing ones by a cubic spline."""
    if places[-1] + 1 == places.size:
        return channels
    filled = _spline(places, channels, np.arange(places[-1] + 1))
    filled[:, places] = channels
    return filled


def _spline(places: NDArray[Any], channels: Values, wanted: NDArray[Any]) -> Values:
    spline = scipy.interpolate.make_interp_spline(places.astype(np.float64), channels, k=3, axis=1)
    values: Values = np.asarray(spline(wanted.astype(np.float64)), dtype=np.float64)
    return values
