"""Limits on what the C library's heaps keep, so that memory does not grow over months."""

from __future__ import annotations

import contextlib
import ctypes

_M_ARENA_MAX = -8
"""See mallopt(3)."""
_ARENAS = 2


def share_arenas() -> None:
    """Let all threads share two heaps; call it before threads are started.

    glibc gives each of many threads a heap of its own and gives none of them back: encoders that come and go with
    every clip would leave more and more half-empty ones. Elsewhere than on glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def release_freed_memory() -> None:
    """Give back to the system what the heaps hold of freed memory; some ms, so call it once in a while.

    Below a block that is still used glibc keeps all that was freed: after a camera was opened and a clip written that
    is a fifth of the service's memory. Elsewhere than on glibc it does nothing.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
