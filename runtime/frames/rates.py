"""Frame rate, jitter and losses measured from a camera's timestamps, and the bands that they allow."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.frame import FrameInfo

_FEWEST = 8
LARGEST_ERROR = 0.05
"""Error of a sampled sine, as a part of its amplitude, from which a warning is given: 26 dB."""
_HYSTERESIS = 0.1
"""Relative margin within a limit at which its warning ends."""
_OTHER_RATE = 0.02
"""Relative change of the rate at which the text of a warning is renewed."""


@dataclass(frozen=True)
class MeasuredRate:
    """Rate and evenness of the latest frames."""

    rate_hz: float
    """Frames a second, drops left out: one over the true period."""
    jitter_rms_s: float
    """Standard deviation of the timestamps from even times."""
    jitter_peak_s: float
    """Largest deviation from even times."""
    drop_ratio: float
    """Part of the frames that the source should have given, and did not."""
    frames: int
    """Number of frames that this was measured from."""

    @property
    def nyquist_hz(self) -> float:
        """Half the rate: motion above it shows at a wrong, lower frequency."""
        return self.rate_hz / 2


class RateWindow:
    """Measures over a sliding window of frames.

    Each frame is given its place on an even grid: by its number, and where the source does not number what it
    loses, by the time since the frame before in units of the median interval. The rate is the slope of the
    least-squares line through (place, time), so that drops do not count and rounding averages out; jitter is
    what remains. The error of the rate is about ``sqrt(12) * jitter * rate**2 / frames**1.5``, the standard error of
    a slope.
    """

    def __init__(self, window: int = 256) -> None:
        if window < _FEWEST:
            raise ValueError(f"a rate cannot be measured from {window} frames")
        self._frames: deque[FrameInfo] = deque(maxlen=window)

    def add(self, info: FrameInfo) -> None:
        """Take note of a frame; another segment begins the window anew."""
        if self._frames and info.segment != self._frames[-1].segment:
            self._frames.clear()
        self._frames.append(info)

    def measure(self) -> MeasuredRate | None:
        """Rate and jitter of the window, or None while it has fewer than eight frames."""
        window = list(self._frames)  # at once: another thread may add
        frames = len(window)
        if frames < _FEWEST:
            return None
        times_s = np.array([each.timestamp_s - window[0].timestamp_s for each in window])
        steps, gaps = np.diff(times_s), np.maximum(np.diff([each.sequence for each in window]), 1)
        usual_s = float(np.median(steps / gaps))
        if not usual_s > 0:
            return None
        places = np.concatenate([[0], np.cumsum(gaps + _unnumbered(steps / usual_s, gaps))])
        centred = places - places.mean()
        period_s = float(centred @ times_s / (centred @ centred))
        off_s = times_s - times_s.mean() - period_s * centred
        expected = int(places[-1]) + 1
        return MeasuredRate(
            rate_hz=1 / period_s,
            jitter_rms_s=float(np.sqrt(off_s @ off_s / (frames - 2))),
            jitter_peak_s=float(np.abs(off_s).max()),
            drop_ratio=1 - frames / expected,
            frames=frames,
        )


class RateMeter:
    """Frame rate from the times between frames alone."""

    WINDOW = 64
    """Intervals that the rate is measured over."""
    _FEWEST = 16
    _EVERY = 8

    def __init__(self, nominal_rate_hz: float) -> None:
        self._rate_hz = nominal_rate_hz
        self._window = RateWindow(self.WINDOW + 1)
        self._count, self._time_s = 0, 0.0
        self._window.add(FrameInfo(0, 0.0))

    @property
    def rate_hz(self) -> float:
        """Frames a second: as stated until a few intervals are known, then as measured."""
        return self._rate_hz

    def add(self, interval_s: float) -> None:
        """Take the time between two frames that followed each other, in seconds."""
        self._count += 1
        self._time_s += interval_s
        self._window.add(FrameInfo(self._count, self._time_s))
        # A full window changes little from frame to frame, and measuring costs more than all else in the loop.
        is_due = self._count <= self.WINDOW or self._count % self._EVERY == 0
        if self._count >= self._FEWEST and is_due and (measured := self._window.measure()) is not None:
            self._rate_hz = measured.rate_hz


def _unnumbered(steps: NDArray[np.float64], gaps: NDArray[np.int64]) -> NDArray[np.float64]:
    """Frames lost in each step (in periods) beyond the numbers; none where the source numbers its losses."""
    if (gaps > 1).any():
        return np.zeros(len(steps))
    excess = np.maximum(np.round(steps - gaps), 0)
    # A frame that is late or early is followed or preceded by a short step; after a loss time stays shifted.
    pairs = np.maximum(np.round((steps - gaps)[:-1] + (steps - gaps)[1:]), 0)
    excess[:-1] = np.minimum(excess[:-1], pairs)
    excess[1:] = np.minimum(excess[1:], pairs)
    return excess


def band_error(high_hz: float, measured: MeasuredRate) -> float:
    """Largest error of a sine within a band, as a part of its amplitude, if its samples are taken as even.

    A sample that comes t late reads ``A sin(2 pi f (T + t))``, so its error is ``2 pi f t`` times A's cosine: an
    RMS ratio of ``2 pi f t_rms``, the classic bound of jitter on a sampler (Shinagawa, Akazawa and Wakimoto, Jitter
    analysis of high-speed sampling systems, IEEE J. Solid-State Circuits 25(1), 1990). A frame that is missing
    and for which the one before stands in is one period late, so a part p of drops adds ``p * period**2``.

    >>> steady = MeasuredRate(25.0, 0.0, 0.0, 0.0, frames=256)
    >>> band_error(10.0, steady)
    0.0
    >>> jittery = MeasuredRate(25.0, 0.001, 0.003, 0.0, frames=256)
    >>> round(band_error(2.0, jittery), 4), round(band_error(10.0, jittery), 4)
    (0.0126, 0.0628)
    """
    late_s = math.sqrt(measured.jitter_rms_s**2 + measured.drop_ratio / measured.rate_hz**2)
    return 2 * math.pi * high_hz * late_s


def alias_hz(frequency_hz: float, rate_hz: float) -> float:
    """The frequency, from 0 to half the rate, at which motion of ``frequency_hz`` shows.

    >>> alias_hz(4.0, 25.0)
    4.0
    >>> alias_hz(24.0, 25.0)
    1.0
    >>> alias_hz(50.0, 25.0)
    0.0
    >>> alias_hz(12.5, 25.0)
    12.5
    """
    return abs(frequency_hz - rate_hz * round(frequency_hz / rate_hz))


def band_warnings(low_hz: float, high_hz: float, measured: MeasuredRate) -> list[str]:
    """Warnings that a band is unreliable at the measured rate, jitter and drops; empty if it is reliable.

    Above half the rate a band appears at wrong frequencies (the sampling theorem). Below it, uneven samples
    spread a part of each vibration over the whole spectrum: a warning is given above ``LARGEST_ERROR`` of its
    amplitude.

    >>> steady = MeasuredRate(25.0, 0.0, 0.0, 0.0, frames=256)
    >>> steady.nyquist_hz
    12.5
    >>> band_warnings(1.8, 2.4, steady)
    []
    >>> print(band_warnings(10.0, 14.0, steady)[0].partition(';')[0])
    the band up to 14 Hz does not fit a camera of 25 frames/s: motion at 14 Hz shows at 11 Hz
    """
    if high_hz >= measured.nyquist_hz:
        seen_hz = alias_hz(high_hz, measured.rate_hz)
        return [
            f"the band up to {high_hz:g} Hz does not fit a camera of {measured.rate_hz:.4g} frames/s: "
            f"motion at {high_hz:g} Hz shows at {seen_hz:.3g} Hz; "
            f"keep the band below {measured.nyquist_hz:.4g} Hz, or film faster"
        ]
    error = band_error(high_hz, measured)
    if error <= LARGEST_ERROR:
        return []
    steady_hz = high_hz * LARGEST_ERROR / error
    jitters = measured.jitter_rms_s**2 >= measured.drop_ratio / measured.rate_hz**2
    cause = (
        f"frames come {measured.jitter_rms_s * 1e3:.3g} ms early or late"
        if jitters
        else f"{measured.drop_ratio:.1%} of the frames are missing"
    )
    where = (
        f"only below {steady_hz:.3g} Hz is it less than {LARGEST_ERROR:.0%}"
        if steady_hz > low_hz
        else "no part of the band is free of it"
    )
    remedy = "lock exposure and rate" if jitters else "lower the rate or the resolution"
    return [f"{cause}: at {high_hz:g} Hz that blurs {error:.0%} of a vibration; {where}; {remedy}"]


class BandWatch:
    """Warnings for one band with hysteresis; a text stays until it is wrong or well over."""

    def __init__(self, low_hz: float, high_hz: float) -> None:
        self._low_hz, self._high_hz = low_hz, high_hz
        self._warnings: tuple[str, ...] = ()
        self._warned_of: MeasuredRate | None = None

    def look(self, measured: MeasuredRate) -> tuple[str, ...]:
        """Present warnings for the measured rate."""
        if not self._warnings or self._is_another(measured):
            found = band_warnings(self._low_hz, self._high_hz, measured)
            if found or self._is_well_over(measured):
                self._warnings, self._warned_of = tuple(found), measured
        elif self._is_well_over(measured):
            self._warnings = ()
        return self._warnings

    def _is_another(self, measured: MeasuredRate) -> bool:
        """Return True if the warning's text is out of date."""
        before = self._warned_of
        assert before is not None
        beyond = [self._high_hz >= each.nyquist_hz for each in (before, measured)]
        return beyond[0] != beyond[1] or abs(measured.rate_hz / before.rate_hz - 1) > _OTHER_RATE

    def _is_well_over(self, measured: MeasuredRate) -> bool:
        fits = self._high_hz < (1 - _HYSTERESIS) * measured.nyquist_hz
        return fits and band_error(self._high_hz, measured) < (1 - _HYSTERESIS) * LARGEST_ERROR
