"""Buffer on the disk, in order, of MQTT messages that the broker has not confirmed: the newest edges and summaries.

One SQLite file with write-ahead logging and ``synchronous=FULL``: stored messages survive a power cut. At one
summary a minute that is two flushes a minute.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tremorscope.runtime.store.database import (
    check_soundness,
    closed_on_failure,
    empty_log,
    set_aside,
    transaction,
)
from tremorscope.runtime.store.disk import OpenDatabase
from tremorscope.runtime.store.sqlite_file import (
    StoreDamagedFault,
    StoreFault,
    StoreFullFault,
    check_owner,
    errors_as_faults,
    write_ahead,
)

log = logging.getLogger("tremorscope.mqtt")

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
        self.openings = 0
        """Times that the file was opened: after each, numbers of messages may be others than before."""
        self._opened: sqlite3.Connection | None = None
        self._files: OpenDatabase | None = None
        self._last = 0

    def open(self) -> None:
        """Open the buffer if it is not open, creating it if needed; a damaged one is renamed and replaced.

        One that was taken away (removed, or its disk unplugged) is begun anew, with what can still be read of it.
        Every other method calls it first.

        Raises:
            StoreFault: it cannot be opened.
        """
        former = self._opened
        if former is not None and self._files is not None and self._files.is_in_place:
            return
        if former is not None and self._files is not None and self._files.has_lost_others:
            with errors_as_faults(self._path):  # all that the log holds goes into the file, which stays
                empty_log(former)
                former.close()
            log.warning("%s-wal: was taken away while it was written; begun anew", self._path)
            former = self._opened = None
        try:
            new = self._open()
        except StoreDamagedFault as fault:
            self.set_aside = set_aside(self._path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            log.error("%s; it is kept as %s, and a new one is begun", fault.what, self.set_aside)
            new = self._open()
        with errors_as_faults(self._path), closed_on_failure(new):
            carried = "" if former is None else _carry_over(former, new)
            self._last = _count_on(new, self._last)
        if former is not None:
            former.close()
            log.warning("%s: was taken away while it was written; begun anew with %s", self._path, carried)
        self._opened, self._files = new, OpenDatabase(self._path, "-wal")
        self.openings += 1

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
        self._last = _last_number(connection)
        for kind, count in dropped.items():
            self.dropped[kind] += count

    def after(self, number: int, most: int) -> Sequence[Message]:
        """The oldest messages after a number, ``most`` at most.

        Raises:
            StoreFault: they cannot be read.
        """
        with self._using() as connection:
            rows = connection.execute(
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
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection; after a fault, except for want of room, the file is opened anew and so checked."""
        connection = self._connection
        try:
            with errors_as_faults(self._path):
                yield connection
        except StoreFullFault:
            raise
        except StoreFault:
            self.close()
            raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._using() as connection, transaction(connection):
            yield connection

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


def _carry_over(former: sqlite3.Connection, new: sqlite3.Connection) -> str:
    """Copy the messages and topics of a buffer that was taken away, as far as it can be read; says what."""
    try:
        messages = former.execute("SELECT id, kind, topic, payload FROM message ORDER BY id").fetchall()
        topics = former.execute("SELECT topic FROM announced").fetchall()
    except sqlite3.Error as error:
        return f"nothing of it, which cannot be read ({error})"
    with transaction(new):
        for message in messages:
            there = new.execute("SELECT * FROM message WHERE id = ?", message[:1]).fetchone()
            if there is None:
                new.execute("INSERT INTO message VALUES (?, ?, ?, ?)", message)
            elif there != message:  # of another process, while this file was away
                new.execute("INSERT INTO message (kind, topic, payload) VALUES (?, ?, ?)", message[1:])
        new.executemany("INSERT OR IGNORE INTO announced VALUES (?)", topics)
    return f"the {len(messages)} messages that wait"


def _last_number(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
    return int(row[0]) if row else 0


def _count_on(connection: sqlite3.Connection, last: int) -> int:
    """Let the next message have a number after a former buffer's last one; returns the last one."""
    if (found := _last_number(connection)) >= last:
        return found
    with transaction(connection):
        connection.execute("INSERT INTO message VALUES (?, 'edge', '', '')", (last,))
        connection.execute("DELETE FROM message WHERE id = ?", (last,))
    return last
