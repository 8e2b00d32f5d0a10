"""Detection of a running installation or upgrade, during which the device must not be restarted."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

LOCK = Path("/run/lock/tremorscope.lock")
"""Held by install.sh and upgrade.sh while they run; the kernel lets go of it however they end."""


def is_updating(lock: Path = LOCK) -> bool:
    """Return True while the lock is held."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nothing was installed since the device was started
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)
