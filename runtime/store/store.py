"""Writer of the store: every call is one transaction, which is on the disk when the call returns."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from tremorscope.runtime.store.database import (
    WriterLock,
    check_soundness,
    connect_writer,
    empty_log,
    file_bytes,
    log_bytes,
    set_aside,
    transaction,
)
from tremorscope.runtime.store.disk import OpenDatabase, Reserve
from tremorscope.runtime.store.records import Channel, PeakRecord, Record, SeriesBlock
from tremorscope.runtime.store.rows import (
    MERGE_SUMMARY,
    WRITERS,
    insert,
    known,
    settings_number,
    summary_rows,
)
from tremorscope.runtime.store.schema import MIGRATIONS
from tremorscope.runtime.store.sqlite_file import (
    StoreDamagedFault,
    StoreFault,
    StoreFullFault,
    errors_as_faults,
    gone,
)


class Store:
    """The one writer of a store. May be called from any thread; a call waits for the disk.

    Not for use in the loop over frames, which writes through `runtime.store.background`.
    """

    def __init__(self, path: Path, *, migrations: Sequence[str] = MIGRATIONS) -> None:
        """Open a store, made if it is not there, recovered, checked, and brought up to date.

        Raises:
            StoreBusyFault: another process writes to it.
            StoreDamagedFault: it is no store, or not a sound one; see ``open_or_set_aside``.
            StoreFullFault: the disk has no room for it.
            StoreFault: it cannot be written, or belongs to another program or to a newer version.
        """
        self.path = path
        self._mutex = threading.Lock()
        self._channels: dict[Channel, int] = {}
        self._lock = WriterLock(path)
        try:
            self._connection = connect_writer(path, migrations)
        except StoreFault:
            self._lock.release()
            raise
        self._files = OpenDatabase(path, "-wal", ".lock")

    @property
    def is_open(self) -> bool:
        """True until it is closed."""
        return self._lock.is_held

    @property
    def is_in_place(self) -> bool:
        """True while the open file, its log and its lock lie under their names: False once one was taken away."""
        # Closing it removes the log.
        return self._files.is_in_place or (not self.is_open and self._files.has_lost_others)

    def write(self, records: Iterable[Record]) -> None:
        """Store all records or, on any failure, none of them.

        Writing an alarm's edge, an event, or a clip again changes nothing, so a batch may be repeated.

        Raises:
            StoreFullFault: no room; what was committed before is kept, and the call may be repeated.
            StoreGoneFault: they went into a file that nobody finds any more; write them into the next one.
            StoreFault: the disk or the file failed.
        """
        with self.transaction() as connection:
            for record in records:
                self._write(connection, record)
        # Without its log or lock alone, what was written stays: once more it would be there twice.
        if not self.is_in_place and not self._files.has_lost_others:
            raise gone(self.path)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction of its own: committed at the end, rolled back on failure."""
        with self._mutex, errors_as_faults(self.path):
            try:
                with transaction(self._connection):
                    yield self._connection
            except BaseException:
                self._channels.clear()  # some of them may be rolled back
                raise

    def forget_unreadable(self) -> int:
        """Delete rows whose values are damaged in a way that SQLite cannot see; returns how many.

        Raises:
            StoreFault: the disk or the file failed.
        """
        is_list = "CASE WHEN json_valid(shape) THEN json_type(shape) = 'array' ELSE 0 END"
        wrong = {"mode": f"NOT {is_list}", "learning": "length(kept) % 8"}
        with self.transaction() as connection:
            return sum(
                connection.execute(f"DELETE FROM {table} WHERE {each}").rowcount
                for table, each in wrong.items()
            )

    @property
    def used_bytes(self) -> int:
        """Bytes in the file that hold something; freed pages, which are used again first, do not count."""
        with self._mutex, errors_as_faults(self.path):
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    @property
    def file_bytes(self) -> int:
        """Size of the file and its log on the disk."""
        return file_bytes(self.path)

    @property
    def log_bytes(self) -> int:
        """Size of the write-ahead log, which readers in a transaction keep from being emptied."""
        return log_bytes(self.path)

    def give_back(self, nbytes: int) -> None:
        """Shrink the file by up to so many freed bytes, as far as no reader needs what was there before.

        Raises:
            StoreFault: the disk or the file failed.
        """
        with self._mutex, errors_as_faults(self.path):
            # While a reader holds the log, every page that moves would only make it longer.
            if empty_log(self._connection):
                size = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
                # As a script, for ``execute`` would free one page and stop: each page is a row without columns.
                self._connection.executescript(f"PRAGMA incremental_vacuum({max(1, nbytes // size)})")
                empty_log(self._connection)

    def empty_log(self) -> bool:
        """Write the log into the file and truncate it, without waiting for readers; False if one keeps it.

        Raises:
            StoreFault: the disk or the file failed.
        """
        with self._mutex, errors_as_faults(self.path):
            return empty_log(self._connection)

    def check(self) -> None:
        """Check the whole file, which takes about a second for 100 MB.

        Raises:
            StoreDamagedFault: it is not sound.
        """
        with self._mutex, errors_as_faults(self.path):
            check_soundness(self._connection, self.path, whole=True)

    def close(self) -> None:
        """Close it; closing twice is harmless. What was committed is on the disk already."""
        with self._mutex:
            with contextlib.suppress(sqlite3.Error):  # the log is emptied when it is opened next
                empty_log(self._connection)
            self._connection.close()
            self._lock.release()

    def __enter__(self) -> Store:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def _write(self, connection: sqlite3.Connection, record: Record) -> None:
        if isinstance(record, SeriesBlock):
            self._write_series(connection, record)
        elif isinstance(record, PeakRecord):
            self._write_peak(connection, record)
        else:
            WRITERS[type(record)](connection, record)

    def _write_series(self, connection: sqlite3.Connection, block: SeriesBlock) -> None:
        times = block.times_s
        start_s, end_s = float(times[0]), float(times[-1])
        offsets = (times - start_s).astype("<f8").tobytes()
        columns = "block (start_s, end_s, samples, offsets_s, settings)"
        source = settings_number(connection, block.measured_by)
        number = insert(connection, columns, start_s, end_s, len(times), offsets, source)
        # A number beyond all bounds is no measurement either.
        values = np.where(np.isfinite(block.values), block.values, np.float32(np.nan))
        for channel, samples in zip(block.channels, values, strict=True):
            key = self._channel(connection, channel)
            insert(
                connection,
                "block_values (block, channel, samples)",
                number,
                key,
                samples.astype("<f4").tobytes(),
            )
            connection.executemany(MERGE_SUMMARY, summary_rows(key, times, samples))

    def _write_peak(self, connection: sqlite3.Connection, peak: PeakRecord) -> None:
        insert(
            connection,
            "peak (time_s, channel, frequency_hz, frequency_deviation_hz, amplitude, damping_ratio, cause)",
            peak.time_s,
            self._channel(connection, peak.channel),
            peak.frequency_hz,
            known(peak.frequency_deviation_hz),
            peak.amplitude,
            known(peak.damping_ratio),
            peak.cause,
        )

    def _channel(self, connection: sqlite3.Connection, channel: Channel) -> int:
        key = self._channels.get(channel)
        if key is None:
            named = (channel.region, channel.axis, channel.quantity, channel.unit, channel.mm_per_px)
            row = connection.execute(
                "SELECT id FROM channel WHERE (region, axis, quantity, unit) = (?, ?, ?, ?) AND mm_per_px IS ?",
                named,
            ).fetchone()
            columns = "channel (region, axis, quantity, unit, mm_per_px)"
            key = int(row[0]) if row else insert(connection, columns, *named)
            self._channels[channel] = key
        return key


def open_or_set_aside(path: Path, label: str, reserve: Reserve | None = None) -> tuple[Store, Path | None]:
    """Open a store, or set a damaged one aside and start a new one, so that the service goes on.

    A damaged store is kept under another name, of which ``label`` (a time does well) is a part, and a new one
    is started. If the disk is too full even to open it, the reserve is given up.

    Returns:
        The store, and where the damaged one is now; None if there was no damage.

    Raises:
        StoreFault: any other fault of ``Store``, or the damaged one cannot be renamed.
    """
    try:
        return Store(path), None
    except StoreFullFault:
        if reserve is None or not reserve.give_up():
            raise
        return Store(path), None
    except StoreDamagedFault:
        return replace_damaged(path, label)


def replace_damaged(path: Path, label: str) -> tuple[Store, Path]:
    """Set a damaged store aside, which nobody has open, and start a new one; see `open_or_set_aside`."""
    lock = WriterLock(path)  # nobody else opens it while it is renamed
    try:
        kept = set_aside(path, label)
    finally:
        lock.release()
    return Store(path), kept
