"""Housekeeping by age, and the check of the device's clock that it needs."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tremorscope.runtime.store.faults import StoreFullFault
from tremorscope.runtime.store.records import ClockJump
from tremorscope.runtime.store.reserve import Reserve
from tremorscope.runtime.store.retention import enforce
from tremorscope.runtime.store.settings import RetentionSettings
from tremorscope.runtime.store.store import Store

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


class Housekeeper:
    """Keeps store and clips within their limits of age and size; called by the store's thread once a minute.

    Jumps of the clock are stored before anything is judged by its age.
    """

    def __init__(
        self,
        clips: Path,
        retention: RetentionSettings,
        trust: ClockTrust,
        *,
        wanted_bytes: Callable[[], int],
        notice: Callable[[str, str], None],
        unix_clock: Callable[[], float] = time.time,
    ) -> None:
        """Prepare.

        Args:
            clips: directory of the clips.
            retention: limits of age and size.
            trust: judges the clock.
            wanted_bytes: space to free besides, 0 while the disk has enough.
            notice: takes a topic and a text for the store.
            unix_clock: Unix time.
        """
        self._clips, self._retention, self._trust = clips, retention, trust
        self._wanted_bytes, self._notice, self._unix_clock = wanted_bytes, notice, unix_clock
        self._jumps: list[ClockJump] = []

    def note_pauses(self, stored_s: Iterable[float]) -> None:
        """Take the latest Unix times of what is stored, before this process began; see `ClockTrust.pauses_since`."""
        self._jumps += self._trust.pauses_since(stored_s)

    def run(self, store: Store, reserve: Reserve) -> None:
        """Store jumps of the clock, then delete what is too old or too much.

        Raises:
            StoreFault: the store cannot be written.
        """
        jump = self._trust.look()
        if jump is not None:
            self._jumps.append(jump)
            set_by_s = jump.after_s - jump.before_s
            self._notice(
                "clock", f"the clock was set forward by {set_by_s:.0f} s: nothing has become older by it"
            )
        if self._jumps:
            self._store_jumps(store, reserve)
        enforce(
            store,
            self._clips,
            self._retention,
            self._unix_clock(),
            wanted_bytes=self._wanted_bytes(),
            by_age=self._trust.trusted,
        )

    def _store_jumps(self, store: Store, reserve: Reserve) -> None:
        try:
            store.write(self._jumps)
        except StoreFullFault:
            if not reserve.give_up():
                raise
            store.write(self._jumps)
        self._jumps.clear()
