"""Time axis of a clip from its timestamps: rate, variation, and the frequencies that it can show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from tremorscope.runtime.errors import OptionFault


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
    """
    if rate_hz is not None and not 0 < rate_hz < math.inf:
        raise OptionFault(
            f"--capture-fps {rate_hz:g}: not a number above 0",
            remedy="give the frames a second at which the camera filmed, e.g. 240",
        )


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
