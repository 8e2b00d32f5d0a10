"""Bound of the store's size: kinds that take more than their share give way, in a stated order, never all of one;
and the thinning of rows that come with every analysis or event.

Each kind has a share of the room. Nothing is done while all of them together fit; then those beyond their share give
way in the order of `KINDS`: first thinned to one an hour where they can be, then the first written first. Sizes of
kinds are estimated from their rows; where that was too little, the shares are halved, and it begins again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from tremorscope.runtime.store.rows import HOUR_S, MINUTE_S
from tremorscope.runtime.store.store import Store

# Older than :age, and it was not made so by a clock that was set forward.
OLD = (
    "{0} < :now - :age AND NOT EXISTS (SELECT 1 FROM clock_jump "
    "WHERE {0} BETWEEN before_s + max(0, :now - after_s) - :age AND before_s)"
)
WRITTEN_BEFORE = "{0} < :now - :age"
"""The same whatever the clock did, for lack of room."""
_THINNED_ROWS = 1024


class Thinner:
    """Walks through a table in the order in which it was written, and goes on where it stopped.

    After a restart it walks through what is thinned already once more, which changes nothing.
    """

    def __init__(
        self, table: str, time: str = "time_s", *, same: str = "", also: str = "1", old: str = OLD
    ) -> None:
        """Prepare.

        Args:
            table: thinned table, with a column ``id``.
            time: column of its Unix time.
            same: column by which rows are told apart: the first of each hour is kept of each.
            also: condition under which a row may go at all.
            old: condition under which a time is old.
        """
        earlier = (
            f"SELECT 1 FROM {table} AS first WHERE first.{time} < {table}.{time} "
            f"AND first.{time} >= 3600 * CAST({table}.{time} / 3600 AS INTEGER) "
            + (f"AND first.{same} = {table}.{same}" if same else "")
        )
        chunk = f"SELECT id, {time} FROM {table} WHERE id > :after ORDER BY id LIMIT {_THINNED_ROWS}"
        # Rows from the future, of a clock that was set back, hold nobody up.
        young = f"{time} <= :now AND NOT ({old.format(time)})"
        self._bounds = f"SELECT max(id), min(CASE WHEN {young} THEN id END) FROM ({chunk})"
        self._delete = (
            f"DELETE FROM {table} WHERE id > :after AND id <= :last AND {also} AND EXISTS ({earlier})"
        )
        self._after = 0

    def run(self, store: Store, now_s: float, age_s: float, *, rounds: int) -> tuple[int, bool]:
        """Thin rows older than ``age_s``, in at most so many transactions; returns their number, and True at the end.

        Raises:
            StoreFault: the store cannot be written.
        """
        deleted = 0
        for _ in range(rounds):
            with store.transaction() as connection:
                where = {"now": now_s, "age": age_s, "after": self._after}
                last, young = connection.execute(self._bounds, where).fetchone()
                last = (last or 0) if young is None else young - 1
                if last <= self._after:
                    return deleted, True
                deleted += connection.execute(self._delete, where | {"last": last}).rowcount
            self._after = last
        return deleted, False


_DAY_S = 86_400.0
_ROWS = 256
_TRANSACTIONS = 120
"""Most transactions a call: a long backlog takes several."""
_PARTS = (1.0, 0.5, 0.25, 0.125)
_OVERHEAD = 1.2
"""Size in pages over the size of the values: rows are not packed without gaps."""


@dataclass(frozen=True)
class KindOfRecord:
    """A kind of stored record, its share of the room, and its rows."""

    name: str
    share: float
    table: str
    size: str
    """Expression of the bytes of one row, with its indices and all that goes with it."""
    time: str = "time_s"
    also: str = "1"
    """Condition under which a row may go."""
    order: str = "id"
    key: str = "id"
    thin_by: str | None = None
    """Column by which rows are told apart when they are thinned; None where they are not thinned."""

    def bytes_in(self, store: Store) -> tuple[float, float]:
        """Estimated bytes of all rows, and of one."""
        latest = f"SELECT * FROM {self.table} WHERE {self.also} ORDER BY {self.order} DESC LIMIT 64"
        with store.transaction() as connection:
            (rows,) = connection.execute(f"SELECT count(*) FROM {self.table} WHERE {self.also}").fetchone()
            (size,) = connection.execute(
                f"SELECT avg({self.size.format(self.table)}) FROM ({latest}) AS {self.table}"
            ).fetchone()
        return _OVERHEAD * rows * (size or 0.0), _OVERHEAD * (size or 0.0)

    @property
    def oldest(self) -> str:
        """Statement that deletes the ``:rows`` rows that were written first."""
        return (
            f"DELETE FROM {self.table} WHERE ({self.key}) IN (SELECT {self.key} FROM {self.table} "
            f"WHERE {self.also} ORDER BY {self.order} LIMIT :rows)"
        )


_SUMMARY = {"table": "summary", "size": "100", "key": "channel, period_s, start_s", "time": "start_s"}
_NO_CLIP = "NOT EXISTS (SELECT 1 FROM clip WHERE event = name AND state IN ('saved', 'recording'))"

KINDS = (
    KindOfRecord(
        "series",
        0.50,
        "block",
        "(SELECT length(offsets_s) + 80 + total(length(block_values.samples) + 30) FROM block_values "
        "WHERE block = block.id)",
        time="end_s",
    ),
    KindOfRecord("peaks", 0.10, "peak", "80", thin_by=""),
    KindOfRecord("modes", 0.08, "mode", "length(shape) + 80", thin_by="label"),
    KindOfRecord("minutes", 0.12, **_SUMMARY, also=f"period_s = {MINUTE_S}", order="start_s"),
    KindOfRecord("notices", 0.04, "notice", "length(text) + 60", thin_by="topic"),
    KindOfRecord("hours", 0.05, **_SUMMARY, also=f"period_s = {HOUR_S}", order="start_s"),
    KindOfRecord(
        "events",
        0.05,
        "event",
        "(SELECT 150 + total(2 * length(reason) + 150) FROM event_trigger WHERE event = event.name)",
        order="rowid",
        key="name",
        also=_NO_CLIP,
    ),
    KindOfRecord(
        "seen alarms",
        0.03,
        "alarm",
        "250",
        time="raised_s",
        also="cleared_s IS NOT NULL AND acknowledged_s IS NOT NULL",
        thin_by="name",
    ),
    KindOfRecord(
        "unseen alarms",
        0.03,
        "alarm",
        "250",
        time="raised_s",
        also="cleared_s IS NOT NULL AND acknowledged_s IS NULL",
        thin_by="name",
    ),
)
"""Kinds in the order in which they give way. Alarms that are raised, baselines and channels never do."""


@dataclass
class Shrinking:
    """Deletions for lack of room in one call."""

    rows: int = 0
    gave_way: dict[str, int] = field(default_factory=dict)
    """Deleted rows by kind."""
    excess_bytes: int = 0
    """Bytes beyond the bound that nothing more could be deleted for; 0 while there is."""


class RoomKeeper:
    """Keeps a store within its bound; remembers how far it has thinned each kind."""

    def __init__(self) -> None:
        self._thinners = {
            kind.name: Thinner(kind.table, kind.time, same=kind.thin_by, also=kind.also, old=WRITTEN_BEFORE)
            for kind in KINDS
            if kind.thin_by is not None
        }

    def shrink(self, store: Store, most_bytes: int) -> Shrinking:
        """Delete what gives way until the store is no larger than ``most_bytes``, or for as long as one call may.

        Raises:
            StoreFault: the store cannot be written.
        """
        done, left = Shrinking(), _TRANSACTIONS
        if store.used_bytes <= most_bytes:
            return done
        room = max(most_bytes - _empty_bytes(store), most_bytes / 2)
        for part in _PARTS:
            for kind in KINDS:
                for deleted in self._give_way(store, kind, part * kind.share * room):
                    left -= 1
                    if deleted:
                        done.rows += deleted
                        done.gave_way[kind.name] = done.gave_way.get(kind.name, 0) + deleted
                    if store.used_bytes <= most_bytes or left <= 0:
                        return done
        done.excess_bytes = store.used_bytes - most_bytes
        return done

    def _give_way(self, store: Store, kind: KindOfRecord, most_bytes: float) -> Iterator[int]:
        """Delete rows of a kind down to its share, transaction by transaction."""
        size, of_row = kind.bytes_in(store)
        thinner = self._thinners.get(kind.name)
        while size > most_bytes:
            if thinner is not None:
                deleted, at_end = thinner.run(store, _latest_s(store, kind), _DAY_S, rounds=1)
                if at_end:
                    thinner = None
                    continue
            else:
                rows = min(_ROWS, math.ceil((size - most_bytes) / of_row))
                with store.transaction() as connection:
                    deleted = connection.execute(kind.oldest, {"rows": rows}).rowcount
                if not deleted:
                    return
            size -= deleted * of_row
            yield deleted


def _latest_s(store: Store, kind: KindOfRecord) -> float:
    """Time of the row that was written last."""
    with store.transaction() as connection:
        row = connection.execute(
            f"SELECT {kind.time} FROM {kind.table} ORDER BY {kind.order} DESC LIMIT 1"
        ).fetchone()
    return float(row[0]) if row else 0.0


def _empty_bytes(store: Store) -> int:
    """Bytes that the tables take without a row: a page each."""
    with store.transaction() as connection:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master WHERE rootpage > 0").fetchone()
        (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    return int(tables) * int(page_bytes)
