"""Signals: a queue of them that the main thread reads, so that no handler interrupts it, and an orderly stop on
those that end a program, so that no half-written file is left behind.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

STOPPING = (signal.SIGTERM, signal.SIGINT)
RELOAD = signal.SIGHUP
RECORD = signal.SIGUSR1


class SignalQueue:
    """Holds the service's signals back in this thread and in all that it starts; only for the main thread.

    Libraries start threads of their own when they are imported, which hold nothing back: a signal that comes while the
    main thread is at work is given to one of those, and would end the process on the spot. What they are given is
    handed on to the main thread, where it is held back as well.
    """

    _KINDS = (*STOPPING, RELOAD, RECORD)

    def __enter__(self) -> SignalQueue:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, self._KINDS)
        self._handlers = {kind: signal.signal(kind, _hand_on) for kind in self._KINDS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A second Ctrl-C during the end must not become an exception after it.
        while signal.sigtimedwait(self._KINDS, 0) is not None:
            pass
        for each, handler in self._handlers.items():
            signal.signal(each, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)

    def wait(self, seconds: float) -> signal.Signals | None:
        """Return the next signal, or None after ``seconds``.

        One that was delivered to another thread meanwhile comes with the next call.
        """
        found = signal.sigtimedwait(self._KINDS, seconds)
        # Where the process was stopped (SIGSTOP) past the deadline, CPython returns what was never filled in:
        # Modules/signalmodule.c leaves its loop for EINTR and reads the result all the same.
        return signal.Signals(found.si_signo) if found is not None and found.si_signo in self._KINDS else None


def _hand_on(number: int, _frame: object) -> None:
    """Send the signal to the main thread, in which Python runs this handler whichever thread was signalled."""
    signal.raise_signal(number)


_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def orderly_stop() -> Iterator[None]:
    """Raise KeyboardInterrupt at the first SIGINT, SIGTERM or SIGHUP, and ignore those that follow.

    A second Ctrl-C would break the clearing up that the first one started; so they stay ignored until the
    program, which is about to end, has ended. Only for the main thread.
    """
    stopped = False

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        nonlocal stopped
        stopped = True
        for each in _STOPPING:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    # What is ignored from outside stays ignored: nohup does so with SIGHUP.
    before = {number: signal.getsignal(number) for number in _STOPPING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, stop)
        yield
    finally:
        if not stopped:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def stop_put_off() -> Iterator[Callable[[], bool]]:
    """Put SIGINT, SIGTERM and SIGHUP off until the block has ended; the yielded function returns True if one came.

    For calls into libraries that call back: an exception raised within a callback would go through their code.
    Off the main thread, where no signal arrives, it does nothing.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = {number: signal.getsignal(number) for number in _STOPPING}
    try:
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, lambda received, _frame: came.append(received))
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
