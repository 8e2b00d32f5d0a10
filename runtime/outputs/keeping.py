"""Start of one output, retried until it works: the address may not be up yet, the port taken, a key missing."""

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
    """An output that publishes from threads of its own, once it is started."""

    def start(self) -> None:
        """Start publishing; returns soon."""

    def close(self, timeout_s: float = 3.0) -> None:
        """Stop publishing, within a time."""


class RetriedOutput:
    """One output, started in a thread of its own and retried until that works; no caller waits for it.

    The reason of a failure goes to the board, and so to the log, the metrics and the page.
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
        """Prepare; nothing is started yet.

        Args:
            name: name of the output on the board.
            make: factory of the output, which raises a Fault if that fails at present; it may take long.
            board: status board that takes the reason of a failure.
            threads: starter of the thread that tries.
            pauses_s: first and longest pause between two attempts.
        """
        self.name = name
        self._make, self._board, self._threads, self._pauses_s = make, board, threads, pauses_s
        self._stopping, self._tried = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._output: Output | None = None

    def start(self) -> None:
        """Start the attempts."""
        self._threads.start(f"{self.name} start", self._try_on, again=True, owned=True)

    def wait(self, seconds: float) -> None:
        """Wait until the first attempt is over, within a time."""
        self._tried.wait(seconds)

    def close(self, timeout_s: float) -> None:
        """Close the output, or end the attempts."""
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
