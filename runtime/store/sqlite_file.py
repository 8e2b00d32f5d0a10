"""Owner and durability of a SQLite file: of the store, and of the buffer of MQTT."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tremorscope.runtime.store.faults import StoreFault


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
