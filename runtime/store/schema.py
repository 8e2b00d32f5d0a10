"""The tables, their version, and the migrations from every earlier version."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from tremorscope.runtime.store.sqlite_file import StoreFault, check_owner, damaged

APPLICATION_ID = 0x54524D53
"""Marks the file as a store of ours ("TRMS" in ASCII), in SQLite's header."""

_VERSION_1 = """
CREATE TABLE channel (
    id INTEGER PRIMARY KEY, region TEXT NOT NULL, axis TEXT NOT NULL, quantity TEXT NOT NULL,
    unit TEXT NOT NULL, mm_per_px REAL
) STRICT;
CREATE UNIQUE INDEX channel_once ON channel (region, axis, quantity, unit, ifnull(mm_per_px, 0.0));

CREATE TABLE block (
    id INTEGER PRIMARY KEY, start_s REAL NOT NULL, end_s REAL NOT NULL, samples INTEGER NOT NULL,
    offsets_s BLOB NOT NULL
) STRICT;
CREATE INDEX block_by_time ON block (end_s, start_s);
CREATE TABLE block_values (
    block INTEGER NOT NULL REFERENCES block ON DELETE CASCADE, channel INTEGER NOT NULL REFERENCES channel,
    samples BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX block_values_once ON block_values (block, channel);

CREATE TABLE summary (
    channel INTEGER NOT NULL REFERENCES channel, period_s INTEGER NOT NULL, start_s INTEGER NOT NULL,
    samples INTEGER NOT NULL, lost INTEGER NOT NULL, minimum REAL, maximum REAL, mean REAL, mean_square REAL,
    PRIMARY KEY (channel, period_s, start_s)
) STRICT, WITHOUT ROWID;
CREATE INDEX summary_by_time ON summary (period_s, start_s);

CREATE TABLE peak (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, channel INTEGER NOT NULL REFERENCES channel,
    frequency_hz REAL NOT NULL, frequency_deviation_hz REAL, amplitude REAL NOT NULL,
    damping_ratio REAL
) STRICT;
CREATE INDEX peak_by_time ON peak (time_s);

CREATE TABLE mode (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, label TEXT NOT NULL, frequency_hz REAL NOT NULL,
    frequency_deviation_hz REAL, damping_ratio REAL, mac REAL, temperature_c REAL,
    shape TEXT NOT NULL
) STRICT;
CREATE INDEX mode_by_time ON mode (time_s);

CREATE TABLE baseline (
    name TEXT PRIMARY KEY, value REAL NOT NULL, scatter REAL NOT NULL, readings INTEGER NOT NULL,
    from_s REAL NOT NULL, to_s REAL NOT NULL
) STRICT;

CREATE TABLE alarm (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL, source TEXT NOT NULL, quantity TEXT NOT NULL,
    unit TEXT NOT NULL, raised_s REAL NOT NULL, value REAL NOT NULL, threshold REAL NOT NULL, cleared_s REAL,
    acknowledged_s REAL, acknowledged_by TEXT
) STRICT;
CREATE UNIQUE INDEX alarm_once ON alarm (name, raised_s);
CREATE UNIQUE INDEX alarm_open_once ON alarm (name) WHERE cleared_s IS NULL;
CREATE INDEX alarm_by_time ON alarm (raised_s);

CREATE TABLE event (name TEXT PRIMARY KEY, time_s REAL NOT NULL) STRICT;
CREATE INDEX event_by_time ON event (time_s);
CREATE TABLE event_trigger (
    id INTEGER PRIMARY KEY, event TEXT NOT NULL REFERENCES event ON DELETE CASCADE, time_s REAL NOT NULL,
    reason TEXT NOT NULL, alarm TEXT, alarm_raised_s REAL
) STRICT;
CREATE UNIQUE INDEX event_trigger_once ON event_trigger (event, time_s, reason);
CREATE TABLE clip (
    event TEXT NOT NULL REFERENCES event ON DELETE CASCADE, kind TEXT NOT NULL, file TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL, start_s REAL, end_s REAL, frames INTEGER NOT NULL, dropped INTEGER NOT NULL,
    nbytes INTEGER NOT NULL, detail TEXT NOT NULL,
    PRIMARY KEY (event, kind)
) STRICT, WITHOUT ROWID;

CREATE TABLE notice (id INTEGER PRIMARY KEY, time_s REAL NOT NULL, topic TEXT NOT NULL, text TEXT NOT NULL) STRICT;
CREATE INDEX notice_by_time ON notice (time_s);
"""

_VERSION_2 = """
CREATE TABLE learning (
    name TEXT PRIMARY KEY, source TEXT NOT NULL, kept BLOB NOT NULL, stride INTEGER NOT NULL,
    readings INTEGER NOT NULL, learned_s REAL NOT NULL, from_s REAL NOT NULL, to_s REAL NOT NULL
) STRICT;

CREATE TABLE clock_jump (before_s REAL PRIMARY KEY, after_s REAL NOT NULL) STRICT;
"""

_VERSION_3 = """
ALTER TABLE notice ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
ALTER TABLE notice ADD COLUMN last_s REAL;
"""

_VERSION_4 = """
ALTER TABLE peak ADD COLUMN cause TEXT NOT NULL DEFAULT '';
ALTER TABLE alarm ADD COLUMN detail TEXT NOT NULL DEFAULT '';
"""

_VERSION_5 = """
CREATE TABLE settings (
    id INTEGER PRIMARY KEY, time_s REAL NOT NULL, program TEXT NOT NULL, settings TEXT NOT NULL
) STRICT
"""

_VERSION_6 = """
ALTER TABLE block ADD COLUMN settings INTEGER REFERENCES settings
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1, _VERSION_2, _VERSION_3, _VERSION_4, _VERSION_5, _VERSION_6)
"""Statement n leads from version n to n + 1. Only ever appended to: files of every version are out there."""

_LATER_COLUMNS = (
    (3, "CREATE TEMP VIEW notice AS SELECT *, 1 AS count, NULL AS last_s FROM main.notice"),
    (4, "CREATE TEMP VIEW alarm AS SELECT *, '' AS detail FROM main.alarm"),
    (5, "CREATE TEMP VIEW settings AS SELECT 0 AS id, 0.0 AS time_s, '' AS program, '' AS settings WHERE 0"),
    (6, "CREATE TEMP VIEW block AS SELECT *, NULL AS settings FROM main.block"),
)
"""Columns that tables got with a version, for readers of a file that no writer has brought forward."""

BULK_TABLES = ("block", "block_values")
"""Nearly all of a file; the others are small."""


def version_of(connection: sqlite3.Connection) -> int:
    """The version of the tables in a file; 0 if there are none yet."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_identity(
    connection: sqlite3.Connection, path: Path, migrations: Sequence[str] = MIGRATIONS
) -> None:
    """Refuse a database of another program, and a store that a newer version of ours wrote.

    Raises:
        StoreFault: with the remedy; the file was not changed.
    """
    check_owner(connection, path, APPLICATION_ID)
    version = version_of(connection)
    if version > len(migrations):
        raise StoreFault(
            f"{path}: written by a newer tremorscope (store version {version}, this one knows "
            f"{len(migrations)})",
            remedy="install that version again, or name another file for the store",
        )
    if version < 1 and connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
        raise damaged(path, "it has no version")


def fill_later_columns(connection: sqlite3.Connection) -> None:
    """Let a file of an earlier version be read like one of today; the file itself is not changed."""
    version = version_of(connection)
    for since, view in _LATER_COLUMNS:
        if version < since:
            connection.execute(view)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring the tables up to date, all in one transaction: after a power cut they are old or new, never half.

    The connection must be in autocommit mode, and the file of a version that is known.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in migrations[version_of(connection) :]:
            for statement in _statements(statements):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {len(migrations)}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _statements(script: str) -> list[str]:
    """The statements of a script; ``executescript`` would commit before it begins."""
    return [statement for statement in script.split(";") if statement.strip()]
