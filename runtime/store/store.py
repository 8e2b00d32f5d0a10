"""Writing to the store: every call is one transaction, and what it returned from is on the disk."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from runtime.store.database import WriterLock, check_soundness, connect_writer, set_aside, transaction
from runtime.store.faults import StoreDamagedFault, StoreFault, StoreFullFault, told_as_faults
from runtime.store.records import (
    Acknowledgement,
    Channel,
    Clip,
    Event,
    LearnedBaseline,
    Mode,
    Peak,
    Record,
    SeriesBlock,
)
from runtime.store.reserve import Reserve
from runtime.store.schema import MIGRATIONS
from runtime.store.summaries import MERGE_SUMMARY, summary_rows
from runtime.vibration.alarms import AlarmEdge


class Store:
    """The one writer of a store. May be called from any thread; a call waits for the disk.

    Nothing here belongs into the loop over frames: `runtime.store.background` stands between.
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

    def write(self, records: Iterable[Record]) -> None:
        """Store all records or, on any failure, none of them.

        Writing an alarm's edge, an event, or a clip again changes nothing, so a batch may be repeated.

        Raises:
            StoreFullFault: no room; what was committed before is kept, and the call may be repeated.
            StoreFault: the disk or the file failed.
        """
        with self.transaction() as connection:
            for record in records:
                self._write(connection, record)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """The connection within a transaction of its own: committed at the end, rolled back on failure."""
        with self._mutex, told_as_faults(self.path):
            try:
                with transaction(self._connection):
                    yield self._connection
            except BaseException:
                self._channels.clear()  # some of them may be rolled back
                raise

    @property
    def used_bytes(self) -> int:
        """Bytes in the file that hold something; freed pages, which are used again first, do not count."""
        with self._mutex, told_as_faults(self.path):
            pages, free, size = (
                int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])
                for name in ("page_count", "freelist_count", "page_size")
            )
        return (pages - free) * size

    def give_back(self, nbytes: int) -> None:
        """Shrink the file by up to so many freed bytes, and empty the log into it.

        Raises:
            StoreFault: the disk or the file failed.
        """
        with self._mutex, told_as_faults(self.path):
            size = int(self._connection.execute("PRAGMA page_size").fetchone()[0])
            # As a script, for ``execute`` would free one page and stop: each page is a row without columns.
            self._connection.executescript(f"PRAGMA incremental_vacuum({max(1, nbytes // size)})")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def check(self) -> None:
        """Check the whole file, which takes about a second for 100 MB.

        Raises:
            StoreDamagedFault: it is not sound.
        """
        with self._mutex, told_as_faults(self.path):
            check_soundness(self._connection, self.path, whole=True)

    def close(self) -> None:
        """Close it; closing twice is harmless. What was committed is on the disk already."""
        with self._mutex:
            with contextlib.suppress(sqlite3.Error):  # the log is emptied when it is opened next
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
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
        elif isinstance(record, Peak):
            self._write_peak(connection, record)
        elif isinstance(record, Mode):
            _write_mode(connection, record)
        elif isinstance(record, AlarmEdge):
            _write_edge(connection, record)
        elif isinstance(record, Acknowledgement):
            _write_acknowledgement(connection, record)
        elif isinstance(record, LearnedBaseline):
            _write_baseline(connection, record)
        elif isinstance(record, Event):
            _write_event(connection, record)
        elif isinstance(record, Clip):
            _write_clip(connection, record)
        else:
            _insert(connection, "notice (time_s, topic, text)", record.time_s, record.topic, record.text)

    def _write_series(self, connection: sqlite3.Connection, block: SeriesBlock) -> None:
        times = block.times_s
        start_s, end_s = float(times[0]), float(times[-1])
        offsets = (times - start_s).astype("<f8").tobytes()
        number = _insert(
            connection, "block (start_s, end_s, samples, offsets_s)", start_s, end_s, len(times), offsets
        )
        # A number beyond all bounds is no measurement either.
        values = np.where(np.isfinite(block.values), block.values, np.float32(np.nan))
        for channel, samples in zip(block.channels, values, strict=True):
            key = self._channel(connection, channel)
            _insert(
                connection,
                "block_values (block, channel, samples)",
                number, key, samples.astype("<f4").tobytes(),
            )  # fmt: skip
            connection.executemany(MERGE_SUMMARY, summary_rows(key, times, samples))

    def _write_peak(self, connection: sqlite3.Connection, peak: Peak) -> None:
        _insert(
            connection,
            "peak (time_s, channel, frequency_hz, frequency_deviation_hz, amplitude, damping_ratio)",
            peak.time_s,
            self._channel(connection, peak.channel),
            peak.frequency_hz,
            _known(peak.frequency_deviation_hz),
            peak.amplitude,
            _known(peak.damping_ratio),
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
            key = int(row[0]) if row else _insert(connection, columns, *named)
            self._channels[channel] = key
        return key


def open_or_set_aside(path: Path, label: str, reserve: Reserve | None = None) -> tuple[Store, Path | None]:
    """Open a store for a service that must go on watching, whatever the disk is like.

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
        lock = WriterLock(path)  # nobody else opens it while it is renamed
        try:
            kept = set_aside(path, label)
        finally:
            lock.release()
        return Store(path), kept


def _write_mode(connection: sqlite3.Connection, mode: Mode) -> None:
    _insert(
        connection,
        "mode (time_s, label, frequency_hz, frequency_deviation_hz, damping_ratio, mac, temperature_c, shape)",
        mode.time_s,
        mode.label,
        mode.frequency_hz,
        _known(mode.frequency_deviation_hz),
        _known(mode.damping_ratio),
        _known(mode.mac),
        _known(mode.temperature_c),
        json.dumps([(point.region, point.axis, point.real, point.imaginary) for point in mode.shape]),
    )


def _write_edge(connection: sqlite3.Connection, edge: AlarmEdge) -> None:
    if edge.edge == "cleared":
        connection.execute(
            "UPDATE alarm SET cleared_s = ? WHERE name = ? AND cleared_s IS NULL", (edge.time_s, edge.name)
        )
        return
    # Normally none is open. If an edge was lost, the older raise ends where the newer begins.
    connection.execute(
        "UPDATE alarm SET cleared_s = ? WHERE name = ? AND cleared_s IS NULL AND raised_s <> ?",
        (edge.time_s, edge.name, edge.time_s),
    )
    _insert(
        connection,
        "alarm (name, source, quantity, unit, raised_s, value, threshold)",
        edge.name, edge.source, edge.quantity, edge.unit, edge.time_s, edge.value, edge.threshold,
    )  # fmt: skip


def _write_acknowledgement(connection: sqlite3.Connection, record: Acknowledgement) -> None:
    connection.execute(
        "UPDATE alarm SET acknowledged_s = ?, acknowledged_by = ? WHERE acknowledged_s IS NULL AND id = "
        "(SELECT id FROM alarm WHERE name = ? ORDER BY raised_s DESC LIMIT 1)",
        (record.time_s, record.by, record.alarm),
    )


def _write_baseline(connection: sqlite3.Connection, record: LearnedBaseline) -> None:
    found = record.baseline
    connection.execute(
        "INSERT OR REPLACE INTO baseline (name, value, scatter, readings, from_s, to_s) VALUES (?, ?, ?, ?, ?, ?)",
        (record.alarm, found.value, found.scatter, found.readings, found.from_s, found.to_s),
    )


def _write_event(connection: sqlite3.Connection, event: Event) -> None:
    _insert(connection, "event (name, time_s)", event.name, event.time_s)
    _insert(
        connection,
        "event_trigger (event, time_s, reason, alarm, alarm_raised_s)",
        event.name, event.time_s, event.reason, event.alarm, event.alarm_raised_s,
    )  # fmt: skip


def _write_clip(connection: sqlite3.Connection, clip: Clip) -> None:
    _insert(connection, "event (name, time_s)", clip.event, clip.start_s or 0.0)
    connection.execute(
        "INSERT OR REPLACE INTO clip (event, kind, file, state, start_s, end_s, frames, dropped, nbytes, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            clip.event, clip.kind, clip.file, clip.state, clip.start_s, clip.end_s, clip.frames, clip.dropped,
            clip.nbytes, clip.detail,
        ),
    )  # fmt: skip


def _insert(connection: sqlite3.Connection, columns: str, *values: object) -> int:
    """Insert a row, unless one with the same key is there, and return its number."""
    places = ", ".join("?" * len(values))
    done = connection.execute(f"INSERT INTO {columns} VALUES ({places}) ON CONFLICT DO NOTHING", values)
    return int(done.lastrowid or 0)


def _known(number: float | None) -> float | None:
    return None if number is None or math.isnan(number) else float(number)
