"""Start, time limits and replacement of the threads that read a camera."""

from __future__ import annotations

import math
from collections.abc import Callable

from tremorscope.runtime.cameras.supervision.faults import Backoff, FaultKind, FaultLog
from tremorscope.runtime.cameras.supervision.reader import Reader
from tremorscope.runtime.cameras.supervision.settings import Status, SupervisorSettings


class ReaderWatch:
    """Starts readers and abandons those that hang. Not thread-safe: the caller holds a lock."""

    def __init__(
        self, make_reader: Callable[[], Reader], settings: SupervisorSettings, log: FaultLog
    ) -> None:
        self._make_reader, self._settings, self._log = make_reader, settings, log
        self._backoff = Backoff(settings.backoff)
        self._retry_at_s = -math.inf
        self._frozen_s = math.inf
        self._steady_since_s: float | None = None
        self._has_opened = False
        self.reader: Reader | None = None
        """The reader at work; None between two attempts."""
        self.abandoned: list[Reader] = []
        """Readers whose calls to the camera have not returned in time."""
        self.openings = 0
        """Number of successful openings."""
        self.opened_in_vain = 0
        """Failed attempts to open it since its last good frame."""

    @property
    def status(self) -> Status:
        """Stage of the present reader; without one, waiting for the next attempt or stuck."""
        if self.reader is None:
            return "stuck" if "stuck" in self._log.active else "waiting"
        if self.reader.stage == "reading":
            return "running"
        return "opening" if self.reader.stage == "opening" else "closing"

    def look(self, now_s: float) -> float:
        """Abandon or start a reader if it is due; returns the time of the next look."""
        reader = self.reader
        if reader is not None:
            if now_s < reader.deadline_s:
                return reader.deadline_s
            self._report_hanging(reader, now_s)
            self.abandon(reader, now_s)
        if len(self.abandoned) >= self._settings.most_abandoned:
            if "stuck" not in self._log.active:
                self._log.seen("stuck", now_s, f"{len(self.abandoned)} threads hang in the camera's driver")
            return math.inf
        self._log.passed("stuck", now_s)
        if now_s < self._retry_at_s:
            return self._retry_at_s
        self.reader = self._make_reader()
        self.reader.expect(now_s, self._settings.open_timeout_s)
        self.reader.start()
        return self.reader.deadline_s

    def opened(self, reader: Reader, rate_hz: float, now_s: float) -> None:
        """Expect the first frame."""
        self.openings += 1
        self._frozen_s = max(self._settings.frozen_periods / rate_hz, self._settings.frozen_least_s)
        reader.expect(now_s, self._settings.open_timeout_s)

    def came(self, reader: Reader, now_s: float, *, good: bool) -> None:
        """Expect the next frame."""
        reader.expect(now_s, self._frozen_s)
        if good:
            self._has_opened = True
            self.opened_in_vain = 0
            if self._steady_since_s is None:
                self._steady_since_s = now_s

    def close(self, reader: Reader, now_s: float) -> None:
        """Expect the reader to close its camera."""
        reader.expect(now_s, self._settings.close_timeout_s)

    def fail(self, reader: Reader, kind: FaultKind | None, what: str, now_s: float) -> None:
        """Report a failure, after which the reader closes its camera; kind None is missing or lost."""
        if kind != "refused":
            self._log.passed("refused", now_s)
        self._log.seen(kind or self._absence(), now_s, what)
        self.close(reader, now_s)

    def finished(self, reader: Reader, now_s: float) -> None:
        """Remove a reader that ends."""
        if reader is self.reader:
            self.reader = None
            self._retry_later(now_s)
        else:
            self.abandoned.remove(reader)

    def abandon(self, reader: Reader, now_s: float) -> None:
        """Leave a reader whose call to the camera does not return; it ends by itself when it does."""
        self.abandoned.append(reader)
        self.reader = None
        self._retry_later(now_s)

    def hurry(self) -> None:
        """Let the next attempt be due now, and the pauses begin anew."""
        self._backoff.reset()
        self._retry_at_s = -math.inf

    def _report_hanging(self, reader: Reader, now_s: float) -> None:
        limit = f"within {reader.limit_s:.3g} s"
        if reader.stage == "opening":
            self._log.seen(self._absence(), now_s, f"did not open {limit}", reader.since_s)
        elif reader.stage == "reading":
            self._log.seen("frozen", now_s, f"no frame {limit}", reader.since_s)

    def _absence(self) -> FaultKind:
        return "lost" if self._has_opened else "missing"

    def _retry_later(self, now_s: float) -> None:
        since_s, self._steady_since_s = self._steady_since_s, None
        self.opened_in_vain += since_s is None
        if since_s is not None and now_s - since_s >= self._settings.steady_s:
            self._backoff.reset()
        self._retry_at_s = now_s + self._backoff.next_s()
