"""Orderly stop on the signals that end a program, so that no half-written file is left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

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
