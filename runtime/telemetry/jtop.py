"""The one door to jtop (jetson-stats, AGPL-3.0), an optional source of telemetry; nothing of it is shipped.

Its service is known to end under load and its clients to hang in `connect` (rbonghi/jetson_stats, issues 721 and 158),
so that it is spoken to in threads of their own and nobody waits for it. After the service was started anew no client
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
"""Between two readings; whoever else asked jtop's service first has chosen for all."""
_SILENT_INTERVALS = 7.5
"""Readings older than this are none."""
_FIRST_PAUSE_INTERVALS, _MOST_DOUBLINGS = 15.0, 5
"""Before the next attempt: 30 s after the first, and twice as long after each, up to 16 minutes."""
_FAILURES = (OSError, EOFError, queue.Empty, RemoteError, multiprocessing.ProcessError,
             LookupError, TypeError, ValueError, AttributeError)  # fmt: skip
"""What comes out of jtop besides its own exception: of the connection, and of answers in another form."""


@dataclass(frozen=True)
class _Told:
    reading: Reading
    temperatures_c: dict[str, float]
    at_s: float


class JtopLink:
    """A connection to jtop's service that comes and goes; whoever asks gets the latest answer at once."""

    def __init__(
        self,
        *,
        asked_for: bool,
        socket: Path = SOCKET,
        interval_s: float = _INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is connected before the first question.

        Args:
            asked_for: whether somebody wants jtop by name and is warned where it is away.
            socket: where its service listens.
            interval_s: between two readings; all other times go with it.
            clock: seconds that never go back.
        """
        self._asked_for, self._socket, self._clock = asked_for, socket, clock
        self._interval_s, self._silent_s = interval_s, _SILENT_INTERVALS * interval_s
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._told: _Told | None = None
        self._why = ""
        self._begun_s, self._next_s = clock(), clock()
        self._failures = 0

    def latest(self) -> _Told | None:
        """The latest answer, unless it is old; connects anew where it is time to."""
        now_s = self._clock()
        with self._lock:
            told = self._told if self._told and now_s - self._told.at_s < self._silent_s else None
            connecting = self._thread is not None and self._thread.is_alive()
            if connecting and told is None and now_s - self._begun_s >= self._silent_s:
                self._complain("its service does not answer")
            elif not connecting and now_s >= self._next_s and not self._closing.is_set():
                self._connect(now_s)
        return told

    def why_not(self) -> str:
        """Why jtop tells nothing at present; empty while it does, or has not been asked long enough."""
        with self._lock:
            return self._why

    def close(self) -> None:
        """Let go of the service; a connection that hangs ends with the process."""
        self._closing.set()

    def _connect(self, now_s: float) -> None:
        """Begin a connection, where there is anything to connect to."""
        if not os.access(self._socket, os.F_OK):
            self._put_off(f"there is no {self._socket}: its service does not run, or is not installed")
        elif not os.access(self._socket, os.R_OK | os.W_OK):
            self._put_off(f"this user may not use {self._socket}: add it to the group jtop, then start again")
        else:
            self._begun_s = now_s
            self._thread = threading.Thread(target=self._converse, name="jtop", daemon=True)
            self._thread.start()

    def _converse(self) -> None:
        """Connect, and take answers for as long as they come."""
        try:
            from jtop import JtopException, jtop
        except ImportError as error:
            with self._lock:
                self._put_off(f"it cannot be imported ({error}): install jetson-stats for this Python")
            return
        jetson: Any = None
        why = "its client has ended by a mistake, which the log shows"
        try:
            jetson = jtop(interval=self._interval_s)
            jetson.start()
            self._take_answers(jetson)
            why = "its service has ended"
        except (JtopException, *_FAILURES) as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())
        finally:
            if jetson is not None:
                with suppress(Exception):  # whatever a client says whose service has gone
                    jetson.close()
            with self._lock:
                if not self._closing.is_set():
                    self._put_off(why)

    def _take_answers(self, jetson: Any) -> None:
        uptime = None
        # `ok` waits for the next answer, and says False where none comes within three intervals.
        while not self._closing.is_set() and jetson.ok():
            # Where the service hangs, its latest answer is handed out again and again.
            if jetson.uptime == uptime:
                continue
            uptime = jetson.uptime
            told = _Told(reading_of(jetson), temperatures_c(jetson), self._clock())
            with self._lock:
                if self._told is None or self._why:
                    log.info("jtop: connected; it is asked before the kernel's files")
                self._told, self._why, self._failures = told, "", 0

    def _put_off(self, why: str) -> None:
        self._complain(why)
        self._told = None
        doublings = min(self._failures, _MOST_DOUBLINGS)
        self._next_s = self._clock() + _FIRST_PAUSE_INTERVALS * self._interval_s * 2.0**doublings
        self._failures += 1

    def _complain(self, why: str) -> None:
        """Tell once, not again at every attempt."""
        if why != self._why:
            level = logging.WARNING if self._asked_for else logging.DEBUG
            log.log(level, "jtop: %s; the kernel's files are read instead, and it is tried again", why)
        self._why = why


class JtopTelemetry:
    """jtop where it answers; whatever it does not tell comes from the kernel's files, and all where it is away."""

    def __init__(self, kernel: SysfsTelemetry, link: JtopLink, *, asked_for: bool) -> None:
        self._kernel, self._link, self._asked_for = kernel, link, asked_for

    def read(self) -> Reading:
        """See `Telemetry.read`."""
        told, kernel = self._link.latest(), self._kernel.read()
        return told.reading.completed_by(kernel) if told else kernel

    def heat(self) -> ThermalReading:
        """See `Telemetry.heat`."""
        told = self._link.latest()
        return self._kernel.heat(told.temperatures_c if told else {})

    def note(self) -> str:
        """See `Telemetry.note`."""
        return f"jtop: {why}" if self._asked_for and (why := self._link.why_not()) else ""

    def close(self) -> None:
        """See `Telemetry.close`."""
        self._link.close()
