"""SQLite files, of the store and of the buffer of MQTT: owner, durability, and faults, translated from SQLite's
errors.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tremorscope.runtime.errors import Fault


class StoreFault(Fault):
    """The store cannot be opened, read or written."""


class StoreFullFault(StoreFault):
    """The disk has no room for what was to be stored; nothing that was committed before is touched."""


class StoreDamagedFault(StoreFault):
    """The file is not a store, or no longer a sound one."""


class StoreGoneFault(StoreFault):
    """The file that is being written no longer lies under its name."""


class StoreBusyFault(StoreFault):
    """Another process writes to the store."""


_FULL = ("disk is full",)
_FAILED = ("disk I/O error",)
_ROOM_TO_OPEN_BYTES = 128 * 1024
"""SQLite calls it an I/O error if the disk has no room for its index of the log, which has at least 32 KiB."""
_DAMAGED = ("malformed", "not a database", "no such table", "no such column", "unsupported file format")
_READ_ONLY = ("readonly database", "unable to open")
_BUSY = ("is locked",)


@contextmanager
def errors_as_faults(path: Path) -> Iterator[None]:
    """Translate SQLite's errors about the disk and the file into faults; programming errors pass through.

    The message is examined, not the code, which Python 3.10 does not expose.
    """
    try:
        yield
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError, sqlite3.NotSupportedError):
        raise
    except sqlite3.DatabaseError as error:
        raise _fault(path, str(error)) from None


@contextmanager
def values_as_faults(path: Path) -> Iterator[None]:
    """Make damage within a value, which SQLite cannot see, a fault of the store."""
    try:
        yield
    except (ValueError, TypeError, IndexError) as error:
        raise damaged(path, f"a value cannot be read: {error}") from None


def _fault(path: Path, message: str) -> StoreFault:
    def says(parts: tuple[str, ...]) -> bool:
        return any(part in message for part in parts)

    if says(_FULL) or (says(_FAILED) and _free_bytes(path) < _ROOM_TO_OPEN_BYTES):
        return StoreFullFault(
            f"{path}: the disk is full", remedy="free some space; what was committed is kept"
        )
    if says(_DAMAGED):
        return damaged(path, message)
    if says(_READ_ONLY):
        return StoreFault(
            f"{path}: cannot be written ({message})",
            remedy="put it on a disk and in a directory that may be written",
        )
    if says(_BUSY):
        return StoreBusyFault(
            f"{path}: another program holds it locked", remedy="close that program, or wait until it is done"
        )
    return StoreFault(f"{path}: {message}", remedy="check the disk; what was committed is kept")


def _free_bytes(path: Path) -> float:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return float("inf")
    return disk.f_bavail * disk.f_frsize


def damaged(path: Path, finding: str) -> StoreDamagedFault:
    """The fault of a file that is no sound store."""
    return StoreDamagedFault(
        f"{path}: damaged ({finding})",
        remedy="set it aside, which keeps it, and start a new one; `sqlite3 FILE .recover` gets out what is left",
    )


def gone(path: Path) -> StoreGoneFault:
    """The fault of a store that was taken away while it was open."""
    return StoreGoneFault(
        f"{path}: was taken away while it was written (removed, or its disk unplugged)",
        remedy="mount the disk again; a store is opened there as soon as it can be",
    )


def check_owner(connection: sqlite3.Connection, path: Path, application_id: int) -> None:
    """Refuse a database of another program; a new, empty one has no owner yet.

    Raises:
        StoreFault: with the remedy; the file was not changed.
    """
    owner, version = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if owner != application_id and (owner or version or tables):
        raise StoreFault(
            f"{path}: is a database of another program", remedy="name another file, or move that one away"
        )


def write_ahead(connection: sqlite3.Connection, path: Path, log_limit_bytes: int) -> None:
    """Log ahead and flush at every commit, so that what is committed survives a power cut.

    Raises:
        StoreFault: the file system cannot do that.
    """
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StoreFault(
            f"{path}: its file system cannot do write-ahead logging",
            remedy="put it on a local disk, not on a network drive",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA journal_size_limit = {log_limit_bytes}")
