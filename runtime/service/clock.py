"""Mapping of the camera's time to Unix time: smooth over corrections of the device's clock, stepped over steps."""

from __future__ import annotations

import time
from collections.abc import Callable

_FASTEST = 1e-4
"""Largest drift of the mapping in s/s: the relative error of a frequency measured on stored times."""
_PATIENCE_S = 30.0
"""Time constant with which a small difference is corrected."""
_LARGEST_S = 1.0
"""Difference above which the clock has stepped, if it lasts for ``_CONFIRM_S``."""
_CONFIRM_S = 5.0
"""Time after which a large difference counts as a step."""


class _Follower:
    """Maps the camera's time to one other clock: slowly where it is a little off, at once after a step of either."""

    def __init__(self) -> None:
        self._offset_s: float | None = None
        self._latest_s = 0.0
        self._off_since_s: float | None = None

    @property
    def is_off(self) -> bool:
        """True while the clocks differ by more than a second, before that counts as a step."""
        return self._off_since_s is not None

    def take(self, now_s: float, timestamp_s: float) -> bool:
        """Compare the clocks once; returns True if one of them has stepped."""
        if self._offset_s is None:
            self._offset_s, self._latest_s = now_s - timestamp_s, timestamp_s
            return False
        step_s, self._latest_s = timestamp_s - self._latest_s, timestamp_s
        off_s = now_s - (self._offset_s + timestamp_s)
        if self._has_stepped(off_s, timestamp_s):
            self._offset_s += off_s
            self._off_since_s = None
            return True
        if step_s > 0:
            most_s = _FASTEST * step_s
            self._offset_s += min(max(off_s * step_s / _PATIENCE_S, -most_s), most_s)
        return False

    def map(self, timestamp_s: float) -> float:
        """The other clock's time; ``timestamp_s`` itself before the first comparison."""
        return timestamp_s + (self._offset_s or 0.0)

    def _has_stepped(self, off_s: float, timestamp_s: float) -> bool:
        if abs(off_s) <= _LARGEST_S:
            self._off_since_s = None
            return False
        if self._off_since_s is None:
            self._off_since_s = timestamp_s
        return timestamp_s - self._off_since_s >= _CONFIRM_S


class UnixClock:
    """Follows the system's clock slowly, as it is corrected and the camera's own drifts, and steps where it stepped.

    One thread calls ``take`` for every frame; any may ask ``to_unix_s``.
    """

    def __init__(
        self,
        *,
        unix_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unix_clock, self._clock = unix_clock, clock
        self._unix, self._steady = _Follower(), _Follower()
        self._system_s = unix_clock() - clock()
        """System clock minus monotonic clock: only a step changes it."""
        self.steady_s = clock()
        """The monotonic clock's time of the latest frame, as even as its Unix time, and never set: dwell is judged
        by it."""
        self.steps = 0
        """Steps of the system's clock by more than a second while the service ran. A camera's time that fell behind, as
        of one that cannot keep its rate, is corrected alike, and is no step."""
        self.set_by_s = 0.0
        """The sum of these steps."""

    def take(self, timestamp_s: float, arrived_s: float | None = None) -> float:
        """The Unix time of a frame; ``arrived_s`` is when it was whole, on the monotonic clock."""
        steady_s, unix_s = self._clock(), self._unix_clock()
        late_s = 0.0 if arrived_s is None else max(0.0, steady_s - arrived_s)
        self._steady.take(steady_s - late_s, timestamp_s)
        self.steady_s = self._steady.map(timestamp_s)
        system_s = unix_s - steady_s
        if self._unix.take(unix_s - late_s, timestamp_s):
            self._count_step(system_s - self._system_s)
        if not self._unix.is_off:
            self._system_s = system_s
        return self._unix.map(timestamp_s)

    def _count_step(self, set_by_s: float) -> None:
        if abs(set_by_s) > _LARGEST_S:
            self.steps += 1
            self.set_by_s += set_by_s

    def to_unix_s(self, timestamp_s: float) -> float:
        """Unix time of a moment on the camera's clock; ``timestamp_s`` itself before the first frame."""
        return self._unix.map(timestamp_s)

    def now_s(self) -> float:
        """Unix time now, for what happens between frames."""
        return self._unix_clock()
