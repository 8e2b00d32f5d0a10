"""Turns the signals that end a program into one orderly stop, so that no half-written file is left behind."""

from __future__ import annotations

import signal
from collections.abc import Iterator
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
