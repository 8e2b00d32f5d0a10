"""Connections to the store's file: one writer, any number of readers, checked before use.

Write-ahead logging with ``synchronous=FULL``: a commit returns when the log is on the disk, so what was
committed survives a power cut. That costs one flush a commit; series are committed in blocks of seconds, so
flushes are rare. Memory mapping stays off: a disk that goes away would end the process instead of failing a
read.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from tremorscope.files import reason_of
from tremorscope.runtime.store.schema import (
    BULK_TABLES,
    MIGRATIONS,
    check_identity,
    fill_later_columns,
    migrate,
)
from tremorscope.runtime.store.sqlite_file import (
    StoreBusyFault,
    StoreFault,
    StoreFullFault,
    damaged,
    errors_as_faults,
    write_ahead,
)

_BUSY_TIMEOUT_S = 5.0
_CACHE_KIB = 4096
LOG_LIMIT_BYTES = 16 * 2**20
"""Size of the log beyond which a reader must be holding it: SQLite empties it every 4 MB, and cuts it to this."""
CHECKED_WHOLE_BYTES = 64 * 2**20
"""Up to this size a file is checked whole when it is opened: within a second even from a memory card."""
SIDE_FILES = ("-wal", "-shm")
"""Files that SQLite keeps beside the store while it is open, and after a power cut."""


class WriterLock:
    """Lock against a second writer; the system releases it with the process, however that ends."""

    def __init__(self, path: Path) -> None:
        """Take the lock of the store at ``path``.

        Raises:
            StoreBusyFault: another process has it.
            StoreFault: the lock file cannot be made.
        """
        self._path = path.with_name(path.name + ".lock")
        try:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise _cannot_write(path, error) from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._file)
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise _cannot_write(path, error) from None
            raise StoreBusyFault(
                f"{path}: another tremorscope writes to it",
                remedy="stop that one, or give each its own store",
            ) from None

    @property
    def is_held(self) -> bool:
        """True until it is released."""
        return self._file >= 0

    def release(self) -> None:
        """Let another writer in; releasing twice is harmless."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def connect_writer(path: Path, migrations: Sequence[str] = MIGRATIONS) -> sqlite3.Connection:
    """Open a store for writing, made if it is not there, checked, and brought up to date.

    The caller holds the writer's lock. What a power cut left in the log is recovered here.

    Raises:
        StoreDamagedFault: it is no store, or not a sound one.
        StoreFault: it cannot be written, or belongs to another program or to a newer version.
    """
    if path.is_dir():
        raise StoreFault(f"{path}: is a directory", remedy="name a file for the store")
    with errors_as_faults(path), closed_on_failure(_connect(f"file:{_quoted(path)}?mode=rwc")) as connection:
        _settle(connection)
        check_identity(connection, path, migrations)
        check_soundness(connection, path)  # before anything is changed in it
        # Comes before the first table: it decides how the file is laid out.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        write_ahead(connection, path, LOG_LIMIT_BYTES)
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, migrations)
        return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a store for reading only, while another process may be writing to it.

    On a disk that is mounted read-only it is read as it lies there, if no log is left beside it.

    Raises:
        StoreDamagedFault: it is no store.
        StoreFault: it is missing or cannot be read.
    """
    if not path.is_file():
        raise StoreFault(f"{path}: no such store", remedy="check the path")
    address = f"file:{_quoted(path)}?mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-shm").exists():
        # SQLite cannot make its index of the log there; without a log it needs none.
        if _size(path.with_name(path.name + "-wal")):
            raise StoreFault(
                f"{path}: its log cannot be opened on a disk that may not be written",
                remedy=f"copy {path.name} and {path.name}-wal to another disk and read them there",
            )
        address += "&immutable=1"
    with errors_as_faults(path), closed_on_failure(_connect(address)) as connection:
        _settle(connection)
        check_identity(connection, path)
        fill_later_columns(connection)
        return connection


def check_soundness(connection: sqlite3.Connection, path: Path, *, whole: bool = False) -> None:
    """Check that the file is sound: all of it if it is small or ``whole`` is set, else all tables but the bulk.

    Raises:
        StoreDamagedFault: with SQLite's first finding.
    """
    if whole or file_bytes(path) <= CHECKED_WHOLE_BYTES:
        checks = ["PRAGMA quick_check(1)"]
    else:
        names = [
            str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
        ]
        checks = [f"PRAGMA quick_check('{name}')" for name in names if name not in BULK_TABLES]
    for check in checks:
        finding = str(connection.execute(check).fetchone()[0])
        if finding != "ok":
            # Some releases of SQLite say first in which database.
            lines = [line for line in finding.splitlines() if not line.startswith("***")]
            raise damaged(path, (lines or [finding])[0])


def set_aside(path: Path, label: str) -> Path:
    """Rename a damaged store and what lies beside it to ``PATH.damaged-LABEL``; nothing is deleted.

    Raises:
        StoreFault: it cannot be renamed.
    """
    kept, number = path.with_name(f"{path.name}.damaged-{label}"), 1
    while kept.exists():  # two within a second
        number += 1
        kept = path.with_name(f"{path.name}.damaged-{label}-{number}")
    try:
        # The log first: beside a new store it must not be left, whatever happens in between.
        for suffix in (*SIDE_FILES, ""):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    except OSError as error:
        raise _cannot_write(path, error) from None
    return kept


def file_bytes(path: Path) -> int:
    """Size of the file and its log on the disk; 0 where there is none."""
    return sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal"))


def log_bytes(path: Path) -> int:
    """Size of the write-ahead log beside a store."""
    return _size(path.with_name(path.name + SIDE_FILES[0]))


def empty_log(connection: sqlite3.Connection) -> bool:
    """Write the log into the file and truncate it; False, at once, if a reader still needs some of it."""
    connection.execute("PRAGMA busy_timeout = 0")  # else it would wait for that reader
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {round(1000 * _BUSY_TIMEOUT_S)}")
    return not busy


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit what is written within, or roll it back on any failure."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            if connection.in_transaction:  # a full disk rolls back by itself
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def closed_on_failure(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Close a connection if what follows fails."""
    try:
        yield connection
    except BaseException:
        connection.close()
        raise


def _connect(address: str) -> sqlite3.Connection:
    return sqlite3.connect(
        address, uri=True, isolation_level=None, check_same_thread=False, timeout=_BUSY_TIMEOUT_S
    )


def _settle(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    connection.execute("PRAGMA temp_store = MEMORY")


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _cannot_write(path: Path, error: OSError) -> StoreFault:
    if error.errno == errno.ENOSPC:
        return StoreFullFault(f"{path}: the disk is full", remedy="free some space")
    if error.errno == errno.ENOENT:
        return StoreFault(f"{path}: there is no directory {path.parent}", remedy="make the directory first")
    return StoreFault(
        f"{path}: cannot be written ({reason_of(error)})",
        remedy="put the store on a disk and in a directory that may be written",
    )
