"""Reader of a store, while another process or thread may be writing to it."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import astuple
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.store.database import connect_reader
from tremorscope.runtime.store.records import (
    Alarm,
    Channel,
    Clip,
    EventRecord,
    ModePoint,
    ModeRecord,
    Notice,
    PeakRecord,
    SeriesBlock,
    SettingsRecord,
    Summary,
)
from tremorscope.runtime.store.sqlite_file import StoreFault, errors_as_faults, values_as_faults
from tremorscope.runtime.vibration.monitoring.alarms import OpenAlarm
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Learning

_T = TypeVar("_T")
Samples = tuple[NDArray[np.float64], NDArray[np.float32]]
"""Times in Unix seconds and values, both (samples,)."""

_CHANNEL_COLUMNS = "region, axis, quantity, unit, mm_per_px"
ALARM_COLUMNS = (
    "name, source, quantity, unit, raised_s, value, threshold, cleared_s, acknowledged_s, acknowledged_by, "
    "detail"
)
NOTICE_COLUMNS = "time_s, topic, text, count, last_s"
CLIP_COLUMNS = "event, kind, file, state, start_s, end_s, frames, dropped, nbytes, detail"


class StoreReader:
    """Reads a store through a connection of its own. May be called from any thread.

    Every question sees what was committed when it was asked. Only ``series`` asks several, one a block, so
    that a long export never keeps the writer's log from being emptied.
    """

    def __init__(self, path: Path) -> None:
        """Open a store for reading.

        Raises:
            StoreDamagedFault: it is no store.
            StoreFault: it is missing, cannot be read, or belongs to another program or to a newer version.
        """
        self.path = path
        self._mutex = threading.Lock()
        self._connection = connect_reader(path)

    def close(self) -> None:
        """Close it; closing twice is harmless."""
        with self._mutex:
            self._connection.close()

    def __enter__(self) -> StoreReader:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def channels(self) -> tuple[Channel, ...]:
        """All channels of which samples were ever stored, and not peaks alone."""
        rows = self.rows(
            f"SELECT {_CHANNEL_COLUMNS} FROM channel "
            "WHERE EXISTS (SELECT 1 FROM summary WHERE channel = channel.id) "
            "OR id IN (SELECT channel FROM block_values) ORDER BY id"
        )
        return tuple(Channel(*row) for row in rows)

    def series(
        self, channel: Channel, from_s: float = -math.inf, to_s: float = math.inf
    ) -> Iterator[Samples]:
        """The samples of a channel with ``from_s`` <= time < ``to_s``, block by block, in order of time."""
        return (samples for _, samples in self.series_by_settings(channel, from_s, to_s))

    def series_by_settings(
        self, channel: Channel, from_s: float = -math.inf, to_s: float = math.inf
    ) -> Iterator[tuple[SettingsRecord | None, Samples]]:
        """The same, each block with the settings by which it was measured."""
        settings_of, number = cache(self._settings), self._number_of(channel)
        blocks = self.rows(
            "SELECT block.id, settings FROM block JOIN block_values ON block = block.id WHERE channel = ? "
            "AND end_s >= ? AND start_s < ? ORDER BY start_s, block.id",
            *(number, from_s, to_s),
        )
        for block, settings in blocks:
            question = (
                "SELECT start_s, offsets_s, block_values.samples FROM block JOIN block_values ON block = block.id "
                "WHERE block.id = ? AND channel = ?"
            )
            rows = self.rows(question, block, number)
            for start_s, offsets, samples in rows:  # none if retention was here meanwhile
                with values_as_faults(self.path):
                    times = start_s + np.frombuffer(offsets, "<f8")
                    wanted = (times >= from_s) & (times < to_s)
                    found = times[wanted], np.frombuffer(samples, "<f4")[wanted]
                if wanted.any():
                    yield settings_of(settings), found

    def blocks(self, from_s: float = -math.inf, to_s: float = math.inf) -> Iterator[SeriesBlock]:
        """All samples with ``from_s`` <= time < ``to_s``, block by block with their channels, in order of time."""
        question = "SELECT id, settings FROM block WHERE end_s >= ? AND start_s < ? ORDER BY start_s, id"
        settings_of = cache(self._settings)
        for block, settings in self.rows(question, from_s, to_s):
            rows = self.rows(
                f"SELECT start_s, offsets_s, block_values.samples, {_CHANNEL_COLUMNS} FROM block "
                "JOIN block_values ON block = block.id JOIN channel ON channel = channel.id WHERE block.id = ? "
                "ORDER BY channel.id",
                block,
            )
            if not rows:  # retention was here meanwhile
                continue
            with values_as_faults(self.path):
                times = rows[0][0] + np.frombuffer(rows[0][1], "<f8")
                wanted = (times >= from_s) & (times < to_s)
                values = np.stack([np.frombuffer(row[2], "<f4")[wanted] for row in rows])
            if wanted.any():
                channels = tuple(Channel(*row[3:]) for row in rows)
                yield SeriesBlock(channels, times[wanted], values, settings_of(settings))

    def summaries(
        self, channel: Channel, period_s: int, from_s: float = -math.inf, to_s: float = math.inf
    ) -> tuple[Summary, ...]:
        """Minutes (60) or hours (3600) of a channel that start at ``from_s`` <= time < ``to_s``."""
        rows = self.rows(
            "SELECT start_s, samples, lost, minimum, maximum, mean, mean_square FROM summary "
            "WHERE channel = ? AND period_s = ? AND start_s >= ? AND start_s < ? ORDER BY start_s",
            self._number_of(channel),
            period_s,
            *(from_s, to_s),
        )
        return tuple(
            Summary(row[0], row[1], row[2], _number(row[3]), _number(row[4]), _number(row[5]), _root(row[6]))
            for row in rows
        )

    def peaks(self, from_s: float = -math.inf, to_s: float = math.inf) -> tuple[PeakRecord, ...]:
        """Peaks found at ``from_s`` <= time < ``to_s``."""
        rows = self.rows(
            f"SELECT time_s, {_CHANNEL_COLUMNS}, frequency_hz, frequency_deviation_hz, amplitude, damping_ratio, "
            "cause FROM peak JOIN channel ON channel.id = channel WHERE time_s >= ? AND time_s < ? "
            "ORDER BY time_s, peak.id",
            *(from_s, to_s),
        )
        return tuple(PeakRecord(row[0], Channel(*row[1:6]), *row[6:]) for row in rows)

    def modes(self, from_s: float = -math.inf, to_s: float = math.inf) -> tuple[ModeRecord, ...]:
        """Modes identified at ``from_s`` <= time < ``to_s``."""
        rows = self.rows(
            "SELECT time_s, label, frequency_hz, frequency_deviation_hz, damping_ratio, mac, temperature_c, "
            "shape FROM mode WHERE time_s >= ? AND time_s < ? ORDER BY time_s, id",
            *(from_s, to_s),
        )
        with values_as_faults(self.path):
            return tuple(_mode(row) for row in rows)

    def latest_modes(self, over_s: float) -> tuple[ModeRecord, ...]:
        """Modes of so long before the one that was written last, whatever the clock shows by now."""
        last = self.rows("SELECT time_s FROM mode ORDER BY id DESC LIMIT 1")
        return self.modes(last[0][0] - over_s, math.nextafter(last[0][0], math.inf)) if last else ()

    def alarms(self, from_s: float = -math.inf, to_s: float = math.inf) -> tuple[Alarm, ...]:
        """Alarms raised at ``from_s`` <= time < ``to_s``."""
        rows = self.rows(
            f"SELECT {ALARM_COLUMNS} FROM alarm WHERE raised_s >= ? AND raised_s < ? ORDER BY raised_s, id",
            *(from_s, to_s),
        )
        return tuple(Alarm(*row) for row in rows)

    def open_alarms(self) -> tuple[OpenAlarm, ...]:
        """Alarms that are raised and not cleared, from which a new ``AlarmBoard`` starts."""
        rows = self.rows(
            "SELECT name, raised_s, acknowledged_s FROM alarm WHERE cleared_s IS NULL ORDER BY id"
        )
        return tuple(OpenAlarm(*row) for row in rows)

    def baselines(self) -> dict[str, Baseline]:
        """Learned baselines by the alarm's name."""
        rows = self.rows("SELECT name, value, scatter, readings, from_s, to_s FROM baseline")
        return {row[0]: Baseline(*row[1:]) for row in rows}

    def learnings(self) -> dict[str, Learning]:
        """State of the baselines that are being learned, by the alarm's name."""
        rows = self.rows("SELECT name, source, kept, stride, readings, learned_s, from_s, to_s FROM learning")
        with values_as_faults(self.path):
            return {
                name: Learning(source, tuple(np.frombuffer(kept, "<f8").tolist()), *others)
                for name, source, kept, *others in rows
            }

    def latest_s(self) -> tuple[float, ...]:
        """Times of what was written last into each table that the service writes to all the while."""
        found = self.rows(
            "SELECT * FROM (SELECT end_s FROM block ORDER BY id DESC LIMIT 1) UNION "
            "SELECT * FROM (SELECT time_s FROM mode ORDER BY id DESC LIMIT 1) UNION "
            "SELECT * FROM (SELECT time_s FROM notice ORDER BY id DESC LIMIT 1)"
        )
        return tuple(float(row[0]) for row in found)

    def events(self, from_s: float = -math.inf, to_s: float = math.inf) -> tuple[EventRecord, ...]:
        """Events triggered at ``from_s`` <= time < ``to_s``, once for each of their triggers."""
        rows = self.rows(
            "SELECT event, event_trigger.time_s, reason, alarm, alarm_raised_s FROM event_trigger "
            "WHERE time_s >= ? AND time_s < ? ORDER BY time_s, id",
            *(from_s, to_s),
        )
        return tuple(EventRecord(*row) for row in rows)

    def clips(self) -> tuple[Clip, ...]:
        """All clips, whatever became of them, in order of time."""
        rows = self.rows(
            f"SELECT {CLIP_COLUMNS} FROM clip JOIN event ON name = event ORDER BY event.time_s, file"
        )
        return tuple(Clip(*row) for row in rows)

    def is_saved(self, file: str) -> bool:
        """True if a clip of this name is listed as saved."""
        return bool(self.rows("SELECT 1 FROM clip WHERE file = ? AND state = 'saved'", file))

    def notices(self, from_s: float = -math.inf, to_s: float = math.inf) -> tuple[Notice, ...]:
        """Notices of ``from_s`` <= time < ``to_s``."""
        rows = self.rows(
            f"SELECT {NOTICE_COLUMNS} FROM notice WHERE time_s >= ? AND time_s < ? ORDER BY time_s, id",
            *(from_s, to_s),
        )
        return tuple(Notice(*row) for row in rows)

    def _settings(self, number: int | None) -> SettingsRecord | None:
        rows = self.rows("SELECT time_s, program, settings FROM settings WHERE id = ?", number)
        return SettingsRecord(*rows[0]) if rows else None

    def _number_of(self, channel: Channel) -> int:
        rows = self.rows(
            "SELECT id FROM channel WHERE (region, axis, quantity, unit) = (?, ?, ?, ?) AND mm_per_px IS ?",
            *astuple(channel),
        )
        return int(rows[0][0]) if rows else -1

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Answer to a question in SQL, of which each sees what was committed when it was asked.

        Raises:
            StoreFault: the store cannot be read.
        """
        with self._mutex, errors_as_faults(self.path):
            answer: sqlite3.Cursor = self._connection.execute(question, values)
            return answer.fetchall()


def salvage(path: Path) -> tuple[tuple[OpenAlarm, ...], dict[str, Baseline], dict[str, Learning]]:
    """Raised alarms, baselines and learning of a damaged store: of each table that is sound."""

    def read(table: str, what: Callable[[StoreReader], _T], without: _T) -> _T:
        with contextlib.suppress(StoreFault), StoreReader(path) as reader:
            if reader.rows(f"PRAGMA quick_check('{table}')") == [("ok",)]:
                return what(reader)
        return without

    return (
        read("alarm", StoreReader.open_alarms, ()),
        read("baseline", StoreReader.baselines, {}),
        read("learning", StoreReader.learnings, {}),
    )


def _mode(row: tuple[Any, ...]) -> ModeRecord:
    time_s, label, hz, deviation_hz, damping, mac, temperature_c, shape = row
    points = tuple(ModePoint(*point) for point in json.loads(shape))
    return ModeRecord(time_s, label, hz, deviation_hz, damping, mac, temperature_c, points)


def _number(stored: float | None) -> float:
    return math.nan if stored is None else stored


def _root(mean_square: float | None) -> float:
    return math.nan if mean_square is None else math.sqrt(mean_square)
