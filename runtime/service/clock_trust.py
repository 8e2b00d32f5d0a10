"""Tells whether the device's clock can be believed when it says how old something is, and when it was set."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable

from tremorscope.runtime.store.records import ClockJump

_SET_S = 60.0
"""The clock was set where it shows so much more or less than has passed; less is how it is corrected."""
_LATE_S = 30.0
"""Frames are stamped by the clock before for some seconds more: see `UnixClock`."""
_STILL_S = 86_400.0
"""Unmoved for so long, a clock that nobody synchronises, as without a network, is believed."""
_STA_UNSYNC = 0x40
_STATUS_AT, _TIMEX_BYTES = 40, 256
"""``status`` within ``struct timex`` on 64-bit systems, and more than its size (208 bytes): adjtimex(2)."""


def is_synchronised() -> bool:
    """Whether the kernel knows that its clock follows a time server; False where it does not tell."""
    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # modes = 0: nothing is changed
    try:
        failed = ctypes.CDLL(None, use_errno=True).adjtimex(timex) < 0
    except (OSError, AttributeError):
        return False
    return not failed and not ctypes.c_int.from_buffer(timex, _STATUS_AT).value & _STA_UNSYNC


class ClockTrust:
    """Compares the device's clock with one that nobody sets; called by one thread."""

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
        """Whether ages may be judged: synchronised since the clock was last set, or unmoved for a day."""

    def look(self) -> ClockJump | None:
        """Look at the clocks, once a minute; returns how far the clock was set forward, if it was."""
        now_s, unix_s = self._clock(), self._unix_clock()
        expected_s, self._offset_s = self._offset_s + now_s, unix_s - now_s
        set_by_s = unix_s - expected_s
        if abs(set_by_s) > _SET_S:
            self._still_since_s, self._was_synchronised = now_s, False
        self._was_synchronised = self._was_synchronised or self._synchronised()
        self.trusted = self._was_synchronised or now_s - self._still_since_s >= _STILL_S
        return ClockJump(expected_s + _LATE_S, unix_s) if set_by_s > _SET_S else None

    def pauses_since(self, stored_s: Iterable[float]) -> tuple[ClockJump, ...]:
        """The times since the latest of each kind of what is stored, which no process has seen pass."""
        unix_s = self._unix_clock()
        return tuple(ClockJump(each, unix_s) for each in stored_s if unix_s - each > _SET_S)
