"""Threads that may be late step back behind the camera and what measures."""

from __future__ import annotations

import contextlib
import os
import threading

BACKGROUND = 10
"""Niceness of such threads, and of all that they start."""


def step_back() -> None:
    """Let this thread, and those that it starts later, run behind others; Linux gives each a niceness of its own."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), BACKGROUND)
