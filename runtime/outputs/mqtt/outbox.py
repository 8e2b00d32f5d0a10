"""Buffer on the disk, in order, of MQTT messages that the broker has not confirmed: the newest edges and summaries.

One SQLite file with write-ahead logging and ``synchronous=FULL``: stored messages survive a power cut. At one
summary a minute that is two flushes a minute.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tremorscope.runtime.store.database import check_soundness, closed_on_failure, set_aside, transaction
from tremorscope.runtime.store.sqlite_file import (
    StoreDamagedFault,
    StoreFault,
    check_owner,
    errors_as_faults,
    write_ahead,
)

MessageKind = Literal["edge", "summary"]
_APPLICATION_ID = 0x54524D51
_LOG_LIMIT_BYTES = 2**20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, topic TEXT NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS message_by_kind ON message (kind, id);
CREATE TABLE IF NOT EXISTS announced (topic TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Message:
    """One stored message."""

    number: int
    """Sequence number, rising also over restarts."""
    kind: MessageKind
    topic: str
    payload: str


class MqttBuffer:
    """Stored messages in their order, and the topics announced to Home Assistant. For one thread."""

    def __init__(self, path: Path, *, most_summaries: int, most_edges: int) -> None:
        """Prepare; the file is opened at the first use, and again after every failure to open it."""
        self._path = path
        self._most: dict[MessageKind, int] = {"summary": most_summaries, "edge": most_edges}
        self.dropped: dict[MessageKind, int] = {"summary": 0, "edge": 0}
        """Messages given up for want of room since the start, the oldest first."""
        self.set_aside: Path | None = None
        """Present name of a damaged buffer that was replaced; None if there was none."""
        self._opened: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the buffer if it is not open, creating it if needed; a damaged one is renamed and replaced.

        Every other method calls it first.

        Raises:
            StoreFault: it cannot be opened.
        """
        if self._opened is not None:
            return
        try:
            self._opened = self._open()
        except StoreDamagedFault:
            self.set_aside = set_aside(self._path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            self._opened = self._open()

    @property
    def _connection(self) -> sqlite3.Connection:
        self.open()
        assert self._opened is not None
        return self._opened

    def add(self, messages: Iterable[tuple[MessageKind, str, str]]) -> None:
        """Store messages (kind, topic, payload) in this order; they are on the disk when this returns.

        Raises:
            StoreFault: nothing was stored.
        """
        with self._writing() as connection:
            connection.executemany("INSERT INTO message (kind, topic, payload) VALUES (?, ?, ?)", messages)
            dropped = {kind: self._trim(connection, kind) for kind in self._most}
        for kind, count in dropped.items():
            self.dropped[kind] += count

    def after(self, number: int, most: int) -> Sequence[Message]:
        """The oldest messages after a number, ``most`` at most.

        Raises:
            StoreFault: they cannot be read.
        """
        with errors_as_faults(self._path):
            rows = self._connection.execute(
                "SELECT id, kind, topic, payload FROM message WHERE id > ? ORDER BY id LIMIT ?",
                (number, most),
            ).fetchall()
        return [Message(*row) for row in rows]

    def remove(self, numbers: Iterable[int]) -> None:
        """Remove messages that the broker has confirmed.

        Raises:
            StoreFault: they stay, and will be sent once more.
        """
        with self._writing() as connection:
            connection.executemany("DELETE FROM message WHERE id = ?", [(number,) for number in numbers])

    def waiting(self) -> dict[MessageKind, int]:
        """Number of stored messages by kind; empty if it cannot be read."""
        try:
            rows = self._connection.execute("SELECT kind, count(*) FROM message GROUP BY kind").fetchall()
        except (sqlite3.Error, StoreFault):
            return {}
        return dict(rows)

    def announced(self) -> set[str]:
        """Discovery topics of Home Assistant on which this instance has announced an entity."""
        try:
            return {row[0] for row in self._connection.execute("SELECT topic FROM announced")}
        except (sqlite3.Error, StoreFault):
            return set()

    def note_announced(self, topics: Iterable[str]) -> None:
        """Store the announced topics, in place of the former ones.

        Raises:
            StoreFault: it cannot be written.
        """
        with self._writing() as connection:
            connection.execute("DELETE FROM announced")
            connection.executemany("INSERT INTO announced VALUES (?)", [(topic,) for topic in topics])

    def close(self) -> None:
        """Close the file."""
        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened.close()
            self._opened = None

    def _open(self) -> sqlite3.Connection:
        with (
            errors_as_faults(self._path),
            closed_on_failure(
                sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=5.0)
            ) as connection,
        ):
            check_owner(connection, self._path, _APPLICATION_ID)
            check_soundness(connection, self._path, whole=True)
            write_ahead(connection, self._path, _LOG_LIMIT_BYTES)
            connection.executescript(_SCHEMA)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            return connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with errors_as_faults(self._path), transaction(self._connection):
            yield self._connection

    def _trim(self, connection: sqlite3.Connection, kind: MessageKind) -> int:
        count = connection.execute("SELECT count(*) FROM message WHERE kind = ?", (kind,)).fetchone()[0]
        surplus = int(count) - self._most[kind]
        if surplus <= 0:
            return 0
        connection.execute(
            "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE kind = ? ORDER BY id LIMIT ?)",
            (kind, surplus),
        )
        return surplus
