"""Background writer between the loop over frames and the disk: takes records at once, writes them in a thread."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tremorscope.runtime.host.threads import BACKGROUND, Threads
from tremorscope.runtime.store.disk import Reserve
from tremorscope.runtime.store.records import ModeRecord, PeakRecord, Record, SeriesBlock
from tremorscope.runtime.store.sqlite_file import (
    StoreBusyFault,
    StoreDamagedFault,
    StoreFault,
    StoreFullFault,
    StoreGoneFault,
)
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

_BULK = (SeriesBlock, PeakRecord, ModeRecord)
"""Records of which there are many, and the newest win; all others are vital."""
_MOST_VITAL = 4096
_BATCH = 64
_RETRY_S = (0.2, 10.0)
"""First and longest pause before a failed write is tried again; each is twice the one before."""
_FAILING_S = 30.0
"""Time of failed writes after which the file is opened anew: its disk may be another one by now."""
Renew = Callable[[Store, StoreFault], Store]
"""Opens a store in the place of one with a fault, which it closes; raises a StoreFault where it cannot yet."""


@dataclass(frozen=True)
class StoreState:
    """State of the thread that writes, and its counters."""

    trouble: str
    """Reason why nothing can be written at present; empty if all is well."""
    running: bool
    """False once closed; while not closed, that the thread was ended by a mistake in the program."""
    written: int
    """Records that are on the disk."""
    pending: int
    """Records that wait for it."""
    dropped_bulk: int
    """Blocks of series, peaks and modes that were dropped, the oldest first, because the disk lags behind."""
    declined_bulk: int
    """The same, dropped by order of the disk guard."""
    dropped_vital: int
    """Alarms, events, clips and notices that were dropped: only after thousands could not be written."""


@dataclass(frozen=True)
class StoreUpkeep:
    """Work on the store besides writing, done by the thread that writes."""

    maintain: Callable[[Store], None] | None = None
    """Retention, every ``every_s`` seconds; its StoreFaults are reported as trouble."""
    renew: Renew | None = None
    """Replacement of a store that cannot be used any more."""
    every_s: float = 60.0


class EarlyRecords:
    """Vital records that wait in memory while no store can be opened; series, peaks and modes do not wait."""

    def __init__(self) -> None:
        self._waiting: deque[Record] = deque()
        self.dropped = 0
        """Records that did not wait, or waited too long."""

    def __len__(self) -> int:
        return len(self._waiting)

    def offer(self, record: Record) -> None:
        """Take a record; returns at once."""
        if not isinstance(record, _BULK):
            self._waiting.append(record)
            if len(self._waiting) <= _MOST_VITAL:
                return
            self._waiting.popleft()
        self.dropped += 1

    def alarms(self) -> set[str]:
        """Names of the alarms that were raised or cleared meanwhile."""
        return {each.name for each in list(self._waiting) if isinstance(each, AlarmEdge)}

    def hand_to(self, background: BackgroundStore) -> None:
        """Hand all that waits to a store that was opened."""
        while self._waiting:
            background.offer(self._waiting.popleft())


class BackgroundStore:
    """Writes records in a thread of its own, in memory that is bounded.

    ``offer`` never waits for the disk. Alarms, acknowledgements, baselines, events, clips and notices are vital
    and go first; of series, peaks and modes the newest win. What cannot be written stays in its queue and is
    tried again until it can. When the disk is full, a reserve that was set aside on it is given up for what
    is vital. A store that is damaged, gone, or fails for long is replaced; what waits goes into the next one.
    """

    def __init__(
        self,
        store: Store,
        *,
        most_bulk: int = 256,
        most_vital: int = _MOST_VITAL,
        reserve: Reserve | None = None,
        upkeep: StoreUpkeep | None = None,
        threads: Threads | None = None,
    ) -> None:
        """Start the thread.

        Args:
            store: stays the caller's, who closes ``store`` after this.
            most_bulk: blocks, peaks and modes that may wait.
            most_vital: other records that may wait.
            reserve: given up when there is no other room for what is vital.
            upkeep: work of the thread besides writing; none by default.
            threads: starts the thread that writes; a mistake in it ends the process.
        """
        self.store = store
        """The store that is written to; replaced as a whole by the thread."""
        self._reserve, self._upkeep = reserve, upkeep or StoreUpkeep()
        self._suspected: StoreFault | None = None
        self._failing_since_s: float | None = None
        self._changed = threading.Condition()
        self._serial = itertools.count()
        self._bulk: deque[tuple[int, Record]] = deque(maxlen=most_bulk)
        self._vital: deque[tuple[int, Record]] = deque(maxlen=most_vital)
        self._accepts_bulk = True
        self._stopping = False
        self._trouble = ""
        self._written = self._dropped_bulk = self._declined_bulk = self._dropped_vital = 0
        self._thread = (threads or Threads()).start("store", self._run, niceness=BACKGROUND, owned=True)

    def offer(self, record: Record) -> None:
        """Hand a record over; returns at once."""
        is_bulk = isinstance(record, _BULK)
        with self._changed:
            if is_bulk and not self._accepts_bulk:
                self._declined_bulk += 1
                return
            queue = self._bulk if is_bulk else self._vital
            if len(queue) == queue.maxlen:
                self._dropped_bulk += is_bulk
                self._dropped_vital += not is_bulk
            queue.append((next(self._serial), record))
            self._changed.notify()

    def suspect(self, fault: StoreFault) -> None:
        """Report a fault that somebody else has found in the store; the thread replaces it."""
        with self._changed:
            self._suspected = fault
            self._changed.notify()

    def accept_bulk(self, accept: bool) -> None:
        """Take series, peaks and modes, or decline them: the disk guard's last step."""
        with self._changed:
            self._accepts_bulk = accept

    def state(self) -> StoreState:
        """State of the thread that writes, and its counters."""
        with self._changed:
            return StoreState(
                trouble=self._trouble,
                running=self._thread.is_alive(),
                written=self._written,
                pending=len(self._bulk) + len(self._vital),
                dropped_bulk=self._dropped_bulk,
                declined_bulk=self._declined_bulk,
                dropped_vital=self._dropped_vital,
            )

    def close(self, timeout_s: float = 5.0) -> StoreState:
        """Write what waits, for at most ``timeout_s``, and end; what is pending in the answer was not written."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)
        return self.state()

    def _run(self) -> None:
        pause_s, longest_pause_s = _RETRY_S
        due_s = time.monotonic()
        while True:
            with self._changed:
                self._changed.wait_for(self._has_work, max(0.0, due_s - time.monotonic()))
                if self._stopping and not self._vital and not self._bulk:
                    return
                fault, self._suspected = self._suspected, None
            fault = fault or self._write_batch(self._vital) or self._write_batch(self._bulk)
            if fault is None and time.monotonic() >= due_s:
                fault = self._run_maintenance()
                due_s = time.monotonic() + self._upkeep.every_s
            fault = self._replaced(fault)
            with self._changed:
                self._trouble = "" if fault is None else str(fault)
                if fault is None:
                    pause_s = _RETRY_S[0]
                    continue
                if self._stopping:
                    return
                self._changed.wait_for(lambda: self._stopping, pause_s)
                pause_s = min(2 * pause_s, longest_pause_s)

    def _has_work(self) -> bool:
        return bool(self._vital or self._bulk or self._stopping or self._suspected)

    def _replaced(self, fault: StoreFault | None) -> StoreFault | None:
        """Replace a store that can no longer be used; returns the fault that is left."""
        now_s = time.monotonic()
        if fault is None or isinstance(fault, (StoreFullFault, StoreBusyFault)):
            self._failing_since_s = None
            return fault
        self._failing_since_s = self._failing_since_s or now_s
        lost = isinstance(fault, (StoreDamagedFault, StoreGoneFault))
        if self._upkeep.renew is None or not (lost or now_s - self._failing_since_s >= _FAILING_S):
            return fault
        try:
            self.store = self._upkeep.renew(self.store, fault)
        except StoreFault as again:
            self._suspected = fault  # for the old one is closed
            return again
        self._failing_since_s = None
        return None

    def _write_batch(self, queue: deque[tuple[int, Record]]) -> StoreFault | None:
        """Write the oldest of a queue and take them out of it; returns the fault, if any."""
        with self._changed:
            batch = list(itertools.islice(queue, _BATCH))
        if not batch:
            return None
        records = [record for _, record in batch]
        try:
            self.store.write(records)
        except StoreFullFault as fault:
            if queue is self._vital and self._reserve is not None and self._reserve.give_up():
                return self._write_batch(queue)
            return fault
        except StoreFault as fault:
            return fault
        with self._changed:
            self._written += len(batch)
            # Newer ones may have pushed some of these out meanwhile.
            while queue and queue[0][0] <= batch[-1][0]:
                queue.popleft()
        return None

    def _run_maintenance(self) -> StoreFault | None:
        if self._reserve is not None:
            self._reserve.hold()
        try:
            if self._upkeep.maintain is not None:
                self._upkeep.maintain(self.store)
        except StoreFault as fault:
            return fault
        return None
