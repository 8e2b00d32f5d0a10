"""Keeping of the service's store: its opening, and that of another in its place where it is damaged, taken away or
fails for long; housekeeping of store and clips by age and room.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from tremorscope.files import reason_of
from tremorscope.runtime.service.clock import ClockTrust
from tremorscope.runtime.store.database import LOG_LIMIT_BYTES
from tremorscope.runtime.store.disk import Reserve, mount_trouble
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import ClockJump
from tremorscope.runtime.store.retention import Deletions, Thinning, enforce
from tremorscope.runtime.store.settings import RetentionSettings, StoreSettings
from tremorscope.runtime.store.sqlite_file import (
    StoreDamagedFault,
    StoreFault,
    StoreFullFault,
    StoreGoneFault,
)
from tremorscope.runtime.store.store import Store, open_or_set_aside, replace_damaged

log = logging.getLogger("tremorscope.store")

STORE_NAME, CLIPS_NAME, RESERVE_NAME = "tremorscope.db", "clips", ".reserve"


def state_directory(settings: StoreSettings) -> Path:
    """Directory of store and clips: as configured, as systemd states, or in the working directory."""
    if settings.directory is not None:
        return settings.directory
    stated = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(stated) if stated else Path("tremorscope-state")


class StoreKeeper:
    """Store's file and clips' directory, on a disk that must be mounted where that is configured."""

    def __init__(
        self,
        directory: Path,
        settings: StoreSettings,
        *,
        notice: Callable[[str, str], None],
        unix_clock: Callable[[], float],
    ) -> None:
        self.directory, self._settings = directory, settings
        self.path, self.clips = directory / STORE_NAME, directory / CLIPS_NAME
        self.reserve = Reserve(directory / RESERVE_NAME, settings.reserve_mb << 20)
        self._notice, self._unix_clock = notice, unix_clock
        self.replaced: Counter[str] = Counter()
        """Stores that were replaced since the start, by cause: damaged, gone, failing."""
        self.damaged: Path | None = None
        """Present name of the damaged store in whose place another was begun last."""

    def mount_trouble(self) -> str:
        """Reason why the directory does not lie on a mounted disk as ``store.require_mount`` wants it."""
        try:
            return mount_trouble(self.directory, self._settings.require_mount)
        except OSError as error:
            return f"{self.directory} cannot be reached ({reason_of(error)})"

    def open(self) -> Store:
        """Open the store, made with its directory if it is not there; a damaged one is set aside.

        Raises:
            StoreFault: it cannot be opened at present.
        """
        self._make_directory()
        store, damaged = open_or_set_aside(self.path, self._label(), self.reserve)
        if damaged is not None:
            self._tell_damage(damaged)
        return store

    def renew(self, store: Store, fault: StoreFault) -> Store:
        """Close a store with a fault, and open another in its place; a store that is all right stays.

        Raises:
            StoreFault: none can be opened at present.
        """
        in_place, lost = store.is_in_place and not self.mount_trouble(), isinstance(fault, StoreGoneFault)
        if lost and in_place and store.is_open:
            return store
        store.close()
        if isinstance(fault, StoreDamagedFault) and in_place:
            log.error("%s", fault)
            self._make_directory()
            new, damaged = replace_damaged(self.path, self._label())
            self.replaced["damaged"] += 1
            self._tell_damage(damaged)
            return new
        is_there = self.path.exists()
        new = self.open()
        if in_place and not lost:
            self.replaced["failing"] += 1
            self._notice("store", f"the store was opened anew, for it could not be written ({fault.what})")
        else:
            self.replaced["gone"] += 1
            what = "it lies there again" if is_there else f"a new one was begun at {self.path}"
            self._notice("store", f"the store was taken away while it was written; {what}")
        return new

    def reopen(self, store: Store, fault: StoreDamagedFault) -> Store:
        """Open a sound store again without the rows that cannot be read; where it has none, open another.

        Raises:
            StoreFault: none can be opened at present.
        """
        store.close()
        store, forgotten = Store(self.path), 0
        with suppress(StoreDamagedFault):
            forgotten = store.forget_unreadable()
        if not forgotten:
            return self.renew(store, fault)
        self._notice(
            "store", f"{forgotten} rows of modes or learning cannot be read and are given up ({fault.what})"
        )
        return store

    @contextmanager
    def reading(self, store: Store) -> Iterator[StoreReader]:
        """Reader of a store that was just opened, which is closed if it cannot be read."""
        try:
            with StoreReader(self.path) as reader:
                yield reader
        except BaseException:
            store.close()
            raise

    def make_clips_directory(self) -> None:
        """Make the directory of the clips where it is gone, and tell it.

        Raises:
            StoreFault: it cannot be made.
        """
        if not self.clips.is_dir():
            self._make_directory()
            self._notice("clips", f"the directory {self.clips} was gone; it is made again, without its clips")

    def clips_trouble(self) -> str:
        """Reason why no clips can be kept at present; empty if they can."""
        may = os.access(self.clips, os.W_OK | os.X_OK)
        return (
            "" if may else f"{self.clips}: no clips can be kept: let the service's user enter and write there"
        )

    def _make_directory(self) -> None:
        if trouble := self.mount_trouble():
            remedy = "mount the disk, or change store.require_mount"
            raise StoreFault(f"{self.path}: {trouble}", remedy=remedy)
        try:
            self.clips.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = reason_of(error)
            raise StoreFault(
                f"{self.clips}: cannot be created ({reason})", remedy="name a directory that may be written"
            ) from None

    def _tell_damage(self, kept: Path) -> None:
        self.damaged = kept
        self._notice("store", f"the store was damaged; it is kept as {kept}, and a new one was begun")

    def _label(self) -> str:
        return datetime.fromtimestamp(self._unix_clock(), timezone.utc).strftime("%Y%m%dT%H%M%SZ")


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
