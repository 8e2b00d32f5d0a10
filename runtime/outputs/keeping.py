"""Starts one output again and again until it works: an address that is not there yet, a taken port, a late key."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.threads import Threads

_PAUSES_S = (1.0, 60.0)
"""First and longest pause between two attempts; each is twice the one before."""


class Output(Protocol):
    """What publishes from threads of its own, once it is started."""

    def start(self) -> None:
        """Begin; returns soon."""

    def close(self, timeout_s: float = 3.0) -> None:
        """End, for at most so long."""


class KeptOutput:
    """One output, started in a thread of its own as soon as that works; nobody waits for it.

    Why it does not work yet is told to the board, and so in the log, the metrics and on the page.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], Output],
        *,
        board: HealthBoard,
        threads: Threads,
        pauses_s: tuple[float, float] = _PAUSES_S,
    ) -> None:
        """Prepare.

        Args:
            name: of the output, on the board.
            make: makes it, and raises a Fault where that cannot be done at present; it may take its time.
            board: told why it does not work.
            threads: starts the thread that tries.
            pauses_s: first and longest pause between two attempts.
        """
        self.name = name
        self._make, self._board, self._threads, self._pauses_s = make, board, threads, pauses_s
        self._stopping, self._tried = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._output: Output | None = None

    def start(self) -> None:
        """Begin to try."""
        self._threads.start(f"{self.name} start", self._try_on, again=True, owned=True)

    def wait(self, seconds: float) -> None:
        """Wait until it was tried once, but no longer than this."""
        self._tried.wait(seconds)

    def close(self, timeout_s: float) -> None:
        """End it, or the attempts."""
        self._stopping.set()
        with self._lock:
            output = self._output
        if output is not None:
            output.close(timeout_s)

    def _try_on(self) -> None:
        pause_s, longest_s = self._pauses_s
        while not self._stopping.is_set():
            try:
                self._begin(self._make())
                return
            except Fault as fault:
                self._board.update_output(self.name, f"{fault}; it is tried again")
            finally:
                self._tried.set()
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, longest_s)

    def _begin(self, output: Output) -> None:
        with self._lock:
            if not self._stopping.is_set():
                output.start()
                self._output = output
                return
        with contextlib.suppress(Fault):
            output.close(0.1)
