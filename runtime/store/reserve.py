"""Disk space set aside, so that alarms can still be written when the disk is full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

DEFAULT_BYTES = 8 * 2**20
"""Room for more alarms than a year brings."""
_ROOM_WANTED = 4
"""It is made only where so many times its size is free, lest it take the last room itself."""


class Reserve:
    """A file of a fixed size whose only purpose is to be deleted when the disk is full."""

    def __init__(self, path: Path, nbytes: int = DEFAULT_BYTES) -> None:
        self._path = path
        self._nbytes = nbytes

    @property
    def is_held(self) -> bool:
        """True while the file is there."""
        return self._path.is_file()

    def hold(self) -> bool:
        """Make it if it is not there and the disk has room; returns whether it is there now."""
        if self.is_held:
            return True
        partial = self._path.with_name(self._path.name + ".partial")
        try:
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < _ROOM_WANTED * self._nbytes:
                return False
            with partial.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, self._nbytes)
            partial.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        return self.is_held

    def give_up(self) -> bool:
        """Delete it; returns whether that made room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
