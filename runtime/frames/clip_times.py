"""Time axis of a clip from its timestamps: rate, variation, and the frequencies that it can show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault

_AT_ONCE, _IN_BURSTS = 0.3, 0.3
"""Share of the mean interval up to which a frame comes together with the one before, and share of such frames from
which on they come in bursts."""


@dataclass(frozen=True)
class TimeAxis:
    """The time axis of a recording, as played and as it was in reality."""

    frames: int
    playback_s: float
    """From the first frame to the end of the last in the file."""
    playback_rate_hz: float
    """Mean rate in the file."""
    varies: bool
    """True where the intervals differ by more than rounding explains."""
    measured: bool
    """False where the file holds no times, so that an even rate is assumed."""
    capture_rate_hz: float | None
    """Stated true rate of capture; None where the file's rate holds."""

    @property
    def real_rate_hz(self) -> float:
        """Frames a second in reality."""
        return self.capture_rate_hz or self.playback_rate_hz

    @property
    def real_duration_s(self) -> float:
        """Duration of the recording in reality."""
        return self.frames / self.capture_rate_hz if self.capture_rate_hz else self.playback_s

    @property
    def nyquist_hz(self) -> float:
        """Half the rate: motion above it shows at a wrong, lower frequency."""
        return self.real_rate_hz / 2

    def lines(self) -> list[str]:
        """Human-readable time axis, a line each."""
        rate = f"{self.playback_rate_hz:.6g} frames/s"
        if self.varies:
            rate = f"a variable rate, {rate} on average"
        if not self.measured:
            rate += " (assumed: the clip holds no times)"
        playback = f"playback       {self.playback_s:.3f} s at {rate}, as in the clip"
        if self.capture_rate_hz is None:
            return [playback, f"frequencies    up to {self.nyquist_hz:.6g} Hz, if it was filmed at that rate"]
        slower = self.capture_rate_hz / self.playback_rate_hz
        return [
            playback,
            f"reality        {self.real_duration_s:.4g} s filmed at {self.capture_rate_hz:.6g} Hz: "
            f"1 s of playback is {1 / slower:.4g} s",
            f"frequencies    up to {self.nyquist_hz:.6g} Hz; f Hz is seen as f / {slower:.4g} in playback",
        ]


def check_capture_rate(rate_hz: float | None) -> None:
    """Check a stated capture rate in Hz; None states none.

    Raises:
        OptionFault: it is not a finite number above 0.

    >>> check_capture_rate(240.0)
    >>> check_capture_rate(0.0)
    Traceback (most recent call last):
        ...
    tremorscope.runtime.errors.OptionFault: --capture-fps 0: not a number above 0: ...
    """
    if rate_hz is not None and not 0 < rate_hz < math.inf:
        raise OptionFault(
            f"--capture-fps {rate_hz:g}: not a number above 0",
            remedy="give the frames a second at which the camera filmed, e.g. 240",
        )


def without_rounding(
    times_s: NDArray[np.float64], tick_s: float, nominal_rate_hz: float
) -> NDArray[np.float64]:
    """Times (N,) freed of their rounding to ticks, where it explains all by which they are uneven; else as given.

    They are put on the line that fits them best, frames that are missing left out; on the file's own rate where that
    explains them as well, because the best line through rounded times still is off by a fraction of a tick.
    """
    if times_s.size < 3 or not np.isfinite(times_s).all():
        return times_s
    steps = np.diff(times_s)
    interval_s = float(steps[steps < 1.5 * np.median(steps)].mean())
    if tick_s > interval_s / 2:
        return times_s
    for candidate in (1 / nominal_rate_hz, interval_s):
        # Counted from frame to frame: over a long recording a rate that is a little off would lose count.
        places = np.concatenate([[0], np.cumsum(np.maximum(1, np.round(steps / candidate)))])
        line = np.array([candidate, 0.0])
        if candidate == interval_s:
            line = np.polyfit(places, times_s, 1)
        off_s = times_s - line[0] * places
        if float(np.ptp(off_s)) <= 1.01 * tick_s:
            evened: NDArray[np.float64] = line[0] * places + (off_s.max() + off_s.min()) / 2
            return evened
    return times_s


def burst_size(times_s: NDArray[np.float64]) -> int:
    """Frames that come at a time, where frames (N,) were stamped as they arrived in bursts; 1 where they were not.

    >>> burst_size(np.repeat(np.arange(50) / 10, 3) + np.tile([0, 0.001, 0.002], 50)), burst_size(np.arange(50) / 30)
    (3, 1)
    """
    steps = np.diff(times_s)
    if steps.size == 0:
        return 1
    at_once = float((steps < _AT_ONCE * steps.mean()).mean())
    return round(1 / (1 - at_once)) if at_once > _IN_BURSTS else 1


class FrameTimes:
    """Gathers timestamps one by one, in constant memory."""

    def __init__(self) -> None:
        self.count = 0
        self._first_s = 0.0
        self._last_s = 0.0
        self._shortest_s = float("inf")
        self._longest_s = 0.0

    def add(self, timestamp_s: float) -> None:
        """Take the time of the next frame, in seconds."""
        if self.count == 0:
            self._first_s = timestamp_s
        else:
            self._shortest_s = min(self._shortest_s, timestamp_s - self._last_s)
            self._longest_s = max(self._longest_s, timestamp_s - self._last_s)
        self._last_s = timestamp_s
        self.count += 1

    def axis(self, time_base: Fraction, capture_rate_hz: float | None, *, measured: bool = True) -> TimeAxis:
        """The time axis of at least two frames; ``time_base`` is the file's resolution in seconds."""
        if self.count < 2:
            raise ValueError(f"a time axis needs two frames, not {self.count}")
        interval_s = (self._last_s - self._first_s) / (self.count - 1)
        # Equal intervals differ by a tick where they were rounded, once or in several containers in turn.
        varies = self._longest_s - self._shortest_s > max(1.5 * float(time_base), 0.05 * interval_s)
        return TimeAxis(
            frames=self.count,
            playback_s=interval_s * self.count,
            playback_rate_hz=1 / interval_s,
            varies=varies,
            measured=measured,
            capture_rate_hz=capture_rate_hz,
        )
