"""Disk of the store: its place, which must be mounted; the space set aside for alarms when it is full; and the guard
of the free space, which gives up previews, then clips, then series, and never the alarms.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tremorscope.files import reason_of, replacement
from tremorscope.runtime.store.records import Notice
from tremorscope.runtime.store.settings import DataKind, DiskSettings

ORDER: tuple[DataKind, ...] = get_args(DataKind)


@dataclass(frozen=True)
class DiskState:
    """Free space, and the things given up for lack of it."""

    free_bytes: int | None
    """None while it cannot be measured."""
    given_up: tuple[DataKind, ...]
    trouble: str
    """Fault for which the disk cannot be measured; empty if there is none."""

    def allows(self, thing: DataKind) -> bool:
        """True if there is room for a thing."""
        return thing not in self.given_up


def free_bytes(directory: Path) -> int:
    """Bytes that this process may still write on the disk of a directory; 0 if it is mounted read-only.

    Raises:
        OSError: it cannot be measured.
    """
    disk = os.statvfs(directory)
    return 0 if disk.f_flag & os.ST_RDONLY else disk.f_bavail * disk.f_frsize


class DiskGuard:
    """Decides by the free space of one disk which things are written; call ``check`` once a second.

    Both giving up and resuming a thing return notices. The writers of previews, clips and series read ``state``.
    """

    def __init__(
        self, directory: Path, settings: DiskSettings, measure: Callable[[Path], int] = free_bytes
    ) -> None:
        """Guard the disk of a directory."""
        self._directory, self._settings, self._measure = directory, settings, measure
        self.state = DiskState(None, (), "")

    @property
    def wanted_bytes(self) -> int:
        """Bytes that retention should free so that nothing need be given up; 0 while there is enough."""
        free = self.state.free_bytes
        wanted = self._settings.level_bytes("previews")
        if free is None or free >= wanted:
            return 0
        return math.ceil(wanted * self._settings.margin) - free

    def check(self, now_s: float) -> list[Notice]:
        """Measure, decide, and return the changes as notices; ``now_s`` is Unix time."""
        before = self.state
        try:
            free = self._measure(self._directory)
        except OSError as error:
            trouble = f"{self._directory}: its free space cannot be measured ({reason_of(error)})"
            self.state = DiskState(None, before.given_up, trouble)
            return [Notice(now_s, "disk", trouble)] if not before.trouble else []
        given_up = tuple(thing for thing in ORDER if free < self._limit(thing, before))
        self.state = DiskState(free, given_up, "")
        texts = [f"{self._directory}: its free space can be measured again"] if before.trouble else []
        texts += [
            f"{thing} given up: {_size(free)} free, less than {_size(self._settings.level_bytes(thing))}"
            for thing in ORDER
            if before.allows(thing) and not self.state.allows(thing)
        ]
        texts += [
            f"{thing} begun again: {_size(free)} free"
            for thing in reversed(ORDER)
            if not before.allows(thing) and self.state.allows(thing)
        ]
        return [Notice(now_s, "disk", text) for text in texts]

    def _limit(self, thing: DataKind, before: DiskState) -> float:
        return self._settings.level_bytes(thing) * (1.0 if before.allows(thing) else self._settings.margin)


def _size(nbytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes} bytes"


FileIdentity = tuple[int, int]
"""Device and inode: another file under the same name has another."""


def identity_of(path: Path) -> FileIdentity | None:
    """Identity of the file at a path; None where there is none, or the disk does not answer."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class OpenDatabase:
    """Files of a database as they were when it was opened: by their names alone others find what is written."""

    def __init__(self, database: Path, *beside: str) -> None:
        """Note the files: the database, and those with these suffixes, without which it is lost as well."""
        paths = [database.with_name(database.name + suffix) for suffix in ("", *beside)]
        self._files = [(path, identity_of(path)) for path in paths]

    @property
    def is_in_place(self) -> bool:
        """True while they lie under their names: False once one was removed, or their disk taken away."""
        return self._files[0][1] is not None and all(
            identity in (None, identity_of(path)) for path, identity in self._files
        )

    @property
    def has_lost_others(self) -> bool:
        """True if the database lies there still, but not all that was beside it."""
        path, identity = self._files[0]
        return not self.is_in_place and identity is not None and identity == identity_of(path)


def mount_trouble(directory: Path, required: bool | Path) -> str:
    """Reason why a directory does not lie on a mounted disk as required; empty if it does.

    Args:
        directory: where the store lies, or will.
        required: False for any disk, True for any but the system's own, or the path at which one must be mounted.
    """
    if required is False:
        return ""
    if isinstance(required, Path):
        return "" if os.path.ismount(required) else f"no disk is mounted at {required}"
    kept = directory.absolute()
    there = next(each for each in (kept, *kept.parents) if each.exists())
    return (
        f"no disk is mounted at {kept}, which would be the system's own" if is_on_system_disk(there) else ""
    )


def is_on_system_disk(path: Path) -> bool:
    """True if an existing path lies on the disk of ``/``."""
    return path.stat().st_dev == os.stat("/").st_dev


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
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._path.parent)
            if disk.f_bavail * disk.f_frsize < _ROOM_WANTED * self._nbytes:
                return False
            with replacement(self._path) as file:
                os.posix_fallocate(file.fileno(), 0, self._nbytes)
        return self.is_held

    def give_up(self) -> bool:
        """Delete it; returns whether that made room."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True
