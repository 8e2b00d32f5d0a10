"""Housekeeping of store and clips by age and room, and what a person should know of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tremorscope.runtime.service.clock_trust import ClockTrust
from tremorscope.runtime.store.database import LOG_LIMIT_BYTES
from tremorscope.runtime.store.faults import StoreFullFault
from tremorscope.runtime.store.records import ClockJump
from tremorscope.runtime.store.reserve import Reserve
from tremorscope.runtime.store.retention import Deletions, Thinning, enforce
from tremorscope.runtime.store.settings import RetentionSettings
from tremorscope.runtime.store.store import Store

_DAY = 1440
"""Runs in a day: what gives way is told again if it did not for so long."""
_LOG_SHARE = 0.25
"""Log over ``store_gb`` from which on series, peaks and modes wait."""


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
        self._thinning = Thinning()
        self._runs = 0
        self._gave_way_in: dict[str, int] = {}
        self._remarks: dict[str, str] = {}
        self.store_bytes = self.log_bytes = 0
        """Bytes that the tables take, and those of the write-ahead log beside them."""
        self.log_is_too_long = False
        """True while a reader has let the log grow so far that series, peaks and modes must wait."""

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
        done = enforce(
            store,
            self._clips,
            self._retention,
            self._unix_clock(),
            wanted_bytes=self._wanted_bytes(),
            by_age=self._trust.trusted,
            thinning=self._thinning,
        )
        self._tell_of_room(store, done)
        self._watch_log(store)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Conditions under which results are stored, but not as wanted, a line each."""
        return tuple(self._remarks.values())

    def _tell_of_room(self, store: Store, done: Deletions) -> None:
        self._runs += 1
        self.store_bytes = store.used_bytes
        limit = f"store_gb ({self._retention.store_gb:g})"
        new = [name for name in done.gave_way if self._runs - self._gave_way_in.get(name, -_DAY) >= _DAY]
        self._gave_way_in |= dict.fromkeys(done.gave_way, self._runs)
        if new:
            self._notice(
                "store", f"{limit} is full: what takes more than its share gives way: {', '.join(new)}"
            )
        excess = (
            f"{self.store_bytes / 1e6:.0f} MB are stored, more than {limit}, and nothing more can give way"
        )
        self._remark("room", f"{excess}: raise store_gb" if done.excess_bytes else "")

    def _watch_log(self, store: Store) -> None:
        if store.log_bytes > LOG_LIMIT_BYTES:
            store.empty_log()
        self.log_bytes = store.log_bytes
        is_held = self.log_bytes > LOG_LIMIT_BYTES
        most_bytes = max(LOG_LIMIT_BYTES, _LOG_SHARE * self._retention.store_bytes)
        self.log_is_too_long = self.log_bytes > most_bytes
        text = f"another program reads the store in one long transaction: its log has {self.log_bytes / 1e6:.0f} MB"
        self._remark("log", f"{text}: end that program" if is_held else "")
        text = "series, peaks and modes are not stored, for the log has grown too long"
        self._remark("bulk", text if self.log_is_too_long else "")

    def _remark(self, key: str, text: str) -> None:
        """Set or end a remark; both edges become notices."""
        before = self._remarks.pop(key, "")
        if text:
            self._remarks[key] = text
        if text and not before:
            self._notice("store", text)
        elif before and not text:
            self._notice("store", f"no longer: {before}")

    def _store_jumps(self, store: Store, reserve: Reserve) -> None:
        try:
            store.write(self._jumps)
        except StoreFullFault:
            if not reserve.give_up():
                raise
            store.write(self._jumps)
        self._jumps.clear()
