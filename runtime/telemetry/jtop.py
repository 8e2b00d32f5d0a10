"""Client of jtop (jetson-stats, AGPL-3.0), an optional source of telemetry, which is not shipped.

Its service is known to end under load and its clients to hang in `connect` (rbonghi/jetson_stats, issues 721 and 158),
so that it is read in threads of their own, which nothing waits for. After the service was started anew no client
comes through in the thread of the one before, because the standard library keeps a broken connection for each thread
(issues 261 and 601): each attempt has a new thread.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.managers import RemoteError
from pathlib import Path
from typing import Any

from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.telemetry.jtop_reading import reading_of, temperatures_c
from tremorscope.runtime.telemetry.reading import Reading
from tremorscope.runtime.telemetry.sysfs import SysfsTelemetry

log = logging.getLogger("tremorscope.telemetry")

SOCKET = Path("/run/jtop.sock")
_INTERVAL_S = 2.0
"""Interval between two readings; the first client of jtop's service chooses it for all."""
_SILENT_INTERVALS = 7.5
"""Age, in intervals, from which a reading is discarded."""
_FIRST_PAUSE_INTERVALS, _MOST_DOUBLINGS = 15.0, 5
"""Pause before the next attempt: 30 s after the first, doubled after each, up to 16 minutes."""
_FAILURES = (
    *(OSError, EOFError, queue.Empty, RemoteError, multiprocessing.ProcessError),
    *(LookupError, TypeError, ValueError, AttributeError),
)
"""Exceptions of jtop besides its own: of the connection, and of answers in another form."""


@dataclass(frozen=True)
class _Answer:
    reading: Reading
    temperatures_c: dict[str, float]
    at_s: float


class JtopLink:
    """Connection to jtop's service, made anew after a failure; the latest answer is available without waiting."""

    def __init__(
        self,
        *,
        asked_for: bool,
        socket: Path = SOCKET,
        interval_s: float = _INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; the first call of `latest` connects.

        Args:
            asked_for: jtop is configured by name, so that a warning is logged where it is missing.
            socket: where its service listens.
            interval_s: between two readings; all other times scale with it.
            clock: seconds on a clock that never goes back.
        """
        self._asked_for, self._socket, self._clock = asked_for, socket, clock
        self._interval_s, self._silent_s = interval_s, _SILENT_INTERVALS * interval_s
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._answer: _Answer | None = None
        self._why = ""
        self._begun_s, self._next_s = clock(), clock()
        self._failures = 0

    def latest(self) -> _Answer | None:
        """Latest answer, unless it is old; connects anew where that is due."""
        now_s = self._clock()
        with self._lock:
            answer = self._answer if self._answer and now_s - self._answer.at_s < self._silent_s else None
            connecting = self._thread is not None and self._thread.is_alive()
            if connecting and answer is None and now_s - self._begun_s >= self._silent_s:
                self._complain("its service does not answer")
            elif not connecting and now_s >= self._next_s and not self._closing.is_set():
                self._connect(now_s)
        return answer

    def why_not(self) -> str:
        """Reason why jtop gives nothing at present; empty while it does, or before it had time to answer."""
        with self._lock:
            return self._why

    def close(self) -> None:
        """Close the connection; one that hangs ends with the process."""
        self._closing.set()

    def _connect(self, now_s: float) -> None:
        """Begin a connection, where the service's socket may be used."""
        if not os.access(self._socket, os.F_OK):
            self._put_off(f"there is no {self._socket}: its service does not run, or is not installed")
        elif not os.access(self._socket, os.R_OK | os.W_OK):
            self._put_off(f"this user may not use {self._socket}: add it to the group jtop, then start again")
        else:
            self._begun_s = now_s
            self._thread = threading.Thread(target=self._converse, name="jtop", daemon=True)
            self._thread.start()

    def _converse(self) -> None:
        """Connect, and take answers until the connection ends."""
        try:
            from jtop import JtopException, jtop
        except ImportError as error:
            with self._lock:
                self._put_off(f"it cannot be imported ({error}): install jetson-stats for this Python")
            return
        jetson: Any = None
        why = "its client has ended by a program error, see the log"
        try:
            jetson = jtop(interval=self._interval_s)
            jetson.start()
            self._take_answers(jetson)
            why = "its service has ended"
        except (JtopException, *_FAILURES) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
        finally:
            if jetson is not None:
                with suppress(Exception):  # any error of a client whose service has gone
                    jetson.close()
            with self._lock:
                if not self._closing.is_set():
                    self._put_off(why)

    def _take_answers(self, jetson: Any) -> None:
        uptime = None
        # `ok` waits for the next answer, and returns False where none comes within three intervals.
        while not self._closing.is_set() and jetson.ok():
            # Where the service hangs, its latest answer is handed out again and again.
            if jetson.uptime == uptime:
                continue
            uptime = jetson.uptime
            answer = _Answer(reading_of(jetson), temperatures_c(jetson), self._clock())
            with self._lock:
                if self._answer is None or self._why:
                    log.info("jtop: connected; it is asked before the kernel's files")
                self._answer, self._why, self._failures = answer, "", 0

    def _put_off(self, why: str) -> None:
        self._complain(why)
        self._answer = None
        doublings = min(self._failures, _MOST_DOUBLINGS)
        self._next_s = self._clock() + _FIRST_PAUSE_INTERVALS * self._interval_s * 2.0**doublings
        self._failures += 1

    def _complain(self, why: str) -> None:
        """Log a reason once, not again at every attempt."""
        if why != self._why:
            level = logging.WARNING if self._asked_for else logging.DEBUG
            log.log(level, "jtop: %s; the kernel's files are read instead, and it is tried again", why)
        self._why = why


class JtopTelemetry:
    """Telemetry by jtop where it answers, completed from the kernel's files."""

    def __init__(self, kernel: SysfsTelemetry, link: JtopLink, *, asked_for: bool) -> None:
        self._kernel, self._link, self._asked_for = kernel, link, asked_for

    def read(self) -> Reading:
        """See `Telemetry.read`."""
        answer, kernel = self._link.latest(), self._kernel.read()
        return answer.reading.completed_by(kernel) if answer else kernel

    def heat(self) -> ThermalReading:
        """See `Telemetry.heat`."""
        answer = self._link.latest()
        return self._kernel.heat(answer.temperatures_c if answer else {})

    def note(self) -> str:
        """See `Telemetry.note`."""
        return f"jtop: {why}" if self._asked_for and (why := self._link.why_not()) else ""

    def close(self) -> None:
        """See `Telemetry.close`."""
        self._link.close()
