"""The threads of the service. One that is ended by a mistake in the program ends the service, loudly."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runtime.niceness import step_back


class Crew:
    """Starts threads, and keeps what ended one of them."""

    def __init__(self) -> None:
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._failed: list[BaseException] = []

    @property
    def stopping(self) -> bool:
        """Whether all are to end."""
        return self._stop.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait, but no longer than until all are to end; returns whether they are."""
        return self._stop.wait(seconds)

    def start(self, name: str, work: Callable[[], None], *, niceness: int = 0) -> None:
        """Run ``work`` in a thread; it returns soon after ``stopping`` has become true."""
        thread = threading.Thread(target=self._run, args=(work, niceness), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Let all threads end, and the service after them; may be called by one of them."""
        self._stop.set()

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """End all threads; returns the names of those that still run after ``timeout_s``."""
        self.end()
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return tuple(thread.name for thread in self._threads if thread.is_alive())

    def raise_failure(self) -> None:
        """Raise what has ended a thread, if anything has."""
        if self._failed:
            raise self._failed[0]

    def _run(self, work: Callable[[], None], niceness: int) -> None:
        if niceness:
            step_back(niceness)
        try:
            work()
        except BaseException as error:
            # The one place that catches everything: the main thread raises it again and ends the service.
            self._failed.append(error)
            self._stop.set()
