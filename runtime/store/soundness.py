"""Watch over a store's soundness while it is used, whatever its size: damage shows only where somebody reads."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tremorscope.runtime.host.threads import BACKGROUND, Threads
from tremorscope.runtime.store.database import (
    CHECKED_WHOLE_BYTES,
    check_soundness,
    connect_reader,
    file_bytes,
)
from tremorscope.runtime.store.sqlite_file import StoreDamagedFault, StoreFault

_EVERY_S = 60.0
"""Shortest interval."""
_SHARE = 1e-3
"""Share of the time that checks may take: 0.1 s for 64 MB allow one in two minutes, a minute for 4 GB one in a day."""


class SoundnessWatch:
    """Reads the whole file again and again in a thread of its own, through a connection that holds nobody up."""

    def __init__(self, path: Path, report: Callable[[StoreDamagedFault], None], *, threads: Threads) -> None:
        """Start the thread; a file that was too large to be checked whole when it was opened is checked at once.

        Args:
            path: the store.
            report: takes the fault of a store that is damaged.
            threads: starter of the thread.
        """
        self._path, self._report = path, report
        self._stopping, self._woken = threading.Event(), threading.Event()
        self._has_hurried = False
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._thread = threads.start("store check", self._run, niceness=BACKGROUND, again=True, owned=True)

    def hurry(self) -> None:
        """Check now, for a reader has met damage, perhaps elsewhere: heard once between two checks by schedule."""
        if not self._has_hurried:
            self._has_hurried = True
            self._woken.set()

    def close(self, timeout_s: float = 1.0) -> None:
        """End the thread, in the middle of a check too."""
        self._stopping.set()
        self._woken.set()
        with self._lock:
            if self._connection is not None:
                self._connection.interrupt()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = 0.0 if file_bytes(self._path) > CHECKED_WHOLE_BYTES else _EVERY_S
        while True:
            by_schedule = not self._woken.wait(pause_s)
            self._woken.clear()  # before the look at `_stopping`, so that an end is never slept through
            if self._stopping.is_set():
                return
            if by_schedule:
                self._has_hurried = False
            begun_s = time.monotonic()
            self._check()
            pause_s = max(_EVERY_S, (time.monotonic() - begun_s) / _SHARE)

    def _check(self) -> None:
        try:
            connection = connect_reader(self._path)
            with self._lock:
                self._connection = connection
            try:
                check_soundness(connection, self._path, whole=True)
            finally:
                with self._lock:
                    self._connection = None
                connection.close()
        except StoreDamagedFault as fault:
            if not self._stopping.is_set():
                self._report(fault)
        except (StoreFault, sqlite3.Error):
            pass  # away, busy or interrupted: its writer tells
