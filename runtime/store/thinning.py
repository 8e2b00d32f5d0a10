"""Thinning of rows that come with every analysis or event: of old ones, the first of each hour is kept."""

from __future__ import annotations

from tremorscope.runtime.store.store import Store

# Older than :age, and it was not made so by a clock that was set forward.
OLD = (
    "{0} < :now - :age AND NOT EXISTS (SELECT 1 FROM clock_jump "
    "WHERE {0} BETWEEN before_s + max(0, :now - after_s) - :age AND before_s)"
)
WRITTEN_BEFORE = "{0} < :now - :age"
"""The same whatever the clock did, for lack of room."""
_ROWS = 1024


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
        chunk = f"SELECT id, {time} FROM {table} WHERE id > :after ORDER BY id LIMIT {_ROWS}"
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
