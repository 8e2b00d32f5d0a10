"""Threads that may be late step back behind the camera and what measures."""

from __future__ import annotations

import contextlib
import os
import threading

BACKGROUND = 10
"""Niceness of such threads, and of all that they start."""
SECOND = 5
"""Of those whom people wait for: behind what measures, but not last. Beside a busy program they get a quarter of a
core; with `BACKGROUND` it would be a tenth."""


def step_back(niceness: int = BACKGROUND) -> None:
    """Let this thread, and those that it starts later, run behind others; Linux gives each a niceness of its own."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
