"""Buffer on the disk, in order, of MQTT messages that the broker has not confirmed: the newest edges and summaries.

One SQLite file with write-ahead logging and ``synchronous=FULL``: stored messages survive a power cut. At one
summary a minute that is two flushes a minute.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
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
UNKNOWN = "unknown"
"""Kind under which a buffer is counted that was lost with a number of messages that nobody knows."""
_APPLICATION_ID = 0x54524D51
_LOG_LIMIT_BYTES = 2**20
_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, topic TEXT NOT NULL, payload TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS message_by_kind ON message (kind, id);
CREATE TABLE IF NOT EXISTS announced (topic TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
_TRIM = "DELETE FROM message WHERE id IN (SELECT id FROM message WHERE kind = ? ORDER BY id LIMIT ?)"
_REMOVE = "DELETE FROM message WHERE id = ? RETURNING kind"


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

    def __init__(
        self,
        path: Path,
        *,
        most_summaries: int,
        most_edges: int,
        notice: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare; the file is opened at the first use, and again after every failure to open it.

        ``notice`` takes each text about a buffer that was replaced, which is logged in any case.
        """
        self._path, self._notice = path, notice
        self._most: dict[MessageKind, int] = {"summary": most_summaries, "edge": most_edges}
        self.dropped: Counter[str] = Counter({"summary": 0, "edge": 0, UNKNOWN: 0})
        """Messages given up since the start for want of room, the oldest first, or with a buffer that was lost."""
        self.set_aside: Path | None = None
        """Present name of a damaged buffer that was replaced; None if there was none."""
        self.openings = 0
        """Times that the file was opened: after each, numbers of messages may be others than before."""
        self._opened: sqlite3.Connection | None = None
        self._files: OpenDatabase | None = None
        self._waiting: Counter[str] | None = None
        self._last, self._lost_how = 0, ""

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
            self._tell(f"{self._path}-wal: was taken away while it was written; begun anew")
            former = self._opened = None
        try:
            new = self._open()
        except StoreDamagedFault as fault:
            self.set_aside = set_aside(self._path, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
            self._lost_how = f"{fault.what}; it is kept as {self.set_aside}"
            former = former or sqlite3.connect(f"{self.set_aside.absolute().as_uri()}?mode=ro", uri=True)
            self._opened, self._files = former, OpenDatabase(self._path)  # if a new one must wait for room
            new = self._open()
        with errors_as_faults(self._path), closed_on_failure(new):
            carried = _carry_over(former, new) if former else Counter()
            self._last = _count_on(new, self._last)
            waiting = _count(new)
        if former is not None:
            former.close()
            how = self._lost_how or f"{self._path}: was taken away while it was written"
            self._tell(f"{how}; begun anew, {self._count_lost(carried)}")
            self._lost_how = ""
        self._opened, self._files, self._waiting = new, OpenDatabase(self._path, "-wal"), waiting
        self.openings += 1

    def _tell(self, text: str) -> None:
        log.warning("%s", text)
        self._notice(text)

    def _count_lost(self, carried: Counter[str] | None) -> str:
        """Count what waited in a buffer that was replaced and was not carried over; says how many that are."""
        if carried is None and self._waiting is None:
            self.dropped[UNKNOWN] += 1
            return "without what waited in it: how many messages is not known"
        carried = carried or Counter()
        lost = (self._waiting or carried) - carried
        self.dropped.update(lost)
        told = f"with the {carried.total()} messages that waited"
        if not lost:
            return told
        return (
            f"{told}, without {lost['edge']} edges of alarms and {lost['summary']} summaries, which are lost"
        )

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
        new = list(messages)
        with self._writing() as connection:
            connection.executemany("INSERT INTO message (kind, topic, payload) VALUES (?, ?, ?)", new)
            held = Counter(self._waiting) + Counter(kind for kind, _, _ in new)
            dropped = Counter[str]({kind: max(0, held[kind] - most) for kind, most in self._most.items()})
            for oldest in dropped.items():
                connection.execute(_TRIM, oldest)
        self._last, self._waiting = _last_number(connection), held - dropped
        self.dropped.update(dropped)

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
            rows = (connection.execute(_REMOVE, (number,)) for number in numbers)
            removed = Counter(kind for row in rows for (kind,) in row)
        self._waiting = Counter(self._waiting) - removed

    def waiting(self) -> dict[str, int]:
        """Number of stored messages by kind; empty where it is not known."""
        with contextlib.suppress(StoreFault):
            self.open()
        return dict(self._waiting or {})

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


def _carry_over(former: sqlite3.Connection, new: sqlite3.Connection) -> Counter[str] | None:
    """Copy messages and topics of a buffer that was taken away or damaged; returns how many messages of each kind.

    None where they cannot be read, or may not be right.
    """
    with contextlib.suppress(sqlite3.Error):
        topics = former.execute("SELECT topic FROM announced").fetchall()
        new.executemany("INSERT OR IGNORE INTO announced VALUES (?)", topics)
    try:
        if former.execute("PRAGMA quick_check('message')").fetchone() != ("ok",):
            return None
        messages = former.execute("SELECT id, kind, topic, payload FROM message ORDER BY id").fetchall()
    except sqlite3.Error:
        return None
    with transaction(new):
        for message in messages:
            there = new.execute("SELECT * FROM message WHERE id = ?", message[:1]).fetchone()
            if there is None:
                new.execute("INSERT INTO message VALUES (?, ?, ?, ?)", message)
            elif there != message:  # of another process, while this file was away
                new.execute("INSERT INTO message (kind, topic, payload) VALUES (?, ?, ?)", message[1:])
    return Counter(kind for _, kind, _, _ in messages)


def _count(connection: sqlite3.Connection) -> Counter[str]:
    """Number of stored messages by kind."""
    return Counter(dict(connection.execute("SELECT kind, count(*) FROM message GROUP BY kind").fetchall()))


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
