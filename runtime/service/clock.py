"""Mapping of the camera's time to Unix time: smooth over corrections of the device's clock, stepped over steps; and
the check of that clock, by which ages are judged.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable

from tremorscope.runtime.store.records import ClockJump

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

    @property
    def is_set(self) -> bool:
        """True from the first comparison on."""
        return self._offset_s is not None

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
        self, *, unix_clock: Callable[[], float] = time.time, clock: Callable[[], float] = time.monotonic
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
        """Unix time of a moment on the camera's clock; before the first frame was taken, that of this moment."""
        return self._unix.map(timestamp_s) if self._unix.is_set else self._unix_clock()

    def now_s(self) -> float:
        """Unix time now, for what happens between frames."""
        return self._unix_clock()


_SET_S = 60.0
"""Difference from the elapsed time above which the clock was set; smaller ones are corrections."""
_LATE_S = 30.0
"""Time for which frames still carry the clock's time before the step: see `UnixClock`."""
_STILL_S = 86_400.0
"""Time without a step after which an unsynchronised clock is trusted, as without a network."""
_STA_UNSYNC = 0x40
_STATUS_AT, _TIMEX_BYTES = 40, 256
"""``status`` within ``struct timex`` on 64-bit systems, and more than its size (208 bytes): adjtimex(2)."""


def is_synchronised() -> bool:
    """Return True if the kernel's clock follows a time server; False where it gives no answer."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: nothing is changed
    try:
        failed = ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0
    except (OSError, AttributeError):
        return False
    return not failed and not ctypes.c_int.from_buffer(timex, _STATUS_AT).value & _STA_UNSYNC


class ClockTrust:
    """Compares the device's clock with the monotonic one; called by one thread."""

    def __init__(
        self,
        *,
        unix_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        synchronised: Callable[[], bool] = is_synchronised,
    ) -> None:
        self._unix_clock, self._clock, self._synchronised = unix_clock, clock, synchronised
        self._offset_s = unix_clock() - clock()
        self._still_since_s = clock()
        self._was_synchronised = False
        self.trusted = False
        """True where ages may be judged: synchronised since the clock was last set, or not set for a day."""

    def look(self) -> ClockJump | None:
        """Compare the clocks, once a minute; returns the jump if the clock was set forward."""
        now_s, unix_s = self._clock(), self._unix_clock()
        expected_s, self._offset_s = self._offset_s + now_s, unix_s - now_s
        set_by_s = unix_s - expected_s
        if abs(set_by_s) > _SET_S:
            self._still_since_s, self._was_synchronised = now_s, False
        self._was_synchronised = self._was_synchronised or self._synchronised()
        self.trusted = self._was_synchronised or now_s - self._still_since_s >= _STILL_S
        return ClockJump(expected_s + _LATE_S, unix_s) if set_by_s > _SET_S else None

    def pauses_since(self, stored_s: Iterable[float]) -> tuple[ClockJump, ...]:
        """Pauses since the latest of each kind of stored record, during which no process ran."""
        unix_s = self._unix_clock()
        return tuple(ClockJump(each, unix_s) for each in stored_s if unix_s - each > _SET_S)
