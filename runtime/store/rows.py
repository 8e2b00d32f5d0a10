"""Rows of the tables, written from one record each; and minute and hour summaries, merged in the transaction that
stores the samples: they always agree with them.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.store.records import (
    Acknowledgement,
    Clip,
    ClockJump,
    EventRecord,
    LearnedBaseline,
    LearningBaseline,
    ModeRecord,
    Notice,
    SettingsRecord,
)
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

_LATEST_NOTICES = 64
_COUNTED_S = 3600.0
"""Time for which a notice that is repeated is counted in one row."""
_MOST_JUMPS = 64
"""Jumps of the clock that are remembered, the latest: a clock that jumps more often is of no use."""


def insert(connection: sqlite3.Connection, columns: str, *values: object) -> int:
    """Insert a row, unless one with the same key is there, and return its number."""
    places = ", ".join("?" * len(values))
    done = connection.execute(f"INSERT INTO {columns} VALUES ({places}) ON CONFLICT DO NOTHING", values)
    return int(done.lastrowid or 0)


def known(number: float | None) -> float | None:
    """A number as SQLite keeps it: None where it is not known."""
    return None if number is None or math.isnan(number) else float(number)


def _write_mode(connection: sqlite3.Connection, mode: ModeRecord) -> None:
    insert(
        connection,
        "mode (time_s, label, frequency_hz, frequency_deviation_hz, damping_ratio, mac, temperature_c, shape)",
        mode.time_s,
        mode.label,
        mode.frequency_hz,
        known(mode.frequency_deviation_hz),
        known(mode.damping_ratio),
        known(mode.mac),
        known(mode.temperature_c),
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
    insert(
        connection,
        "alarm (name, source, quantity, unit, raised_s, value, threshold, detail)",
        edge.name,
        edge.source,
        edge.quantity,
        edge.unit,
        edge.time_s,
        edge.value,
        edge.threshold,
        edge.detail,
    )


def _write_acknowledgement(connection: sqlite3.Connection, record: Acknowledgement) -> None:
    connection.execute(
        "UPDATE alarm SET acknowledged_s = ?, acknowledged_by = ? WHERE acknowledged_s IS NULL AND id = "
        "(SELECT max(id) FROM alarm WHERE name = ?)",
        (record.time_s, record.by, record.alarm),
    )


def _write_baseline(connection: sqlite3.Connection, record: LearnedBaseline) -> None:
    found = record.baseline
    connection.execute(
        "INSERT OR REPLACE INTO baseline (name, value, scatter, readings, from_s, to_s) VALUES (?, ?, ?, ?, ?, ?)",
        (record.alarm, found.value, found.scatter, found.readings, found.from_s, found.to_s),
    )
    connection.execute("DELETE FROM learning WHERE name = ?", (record.alarm,))


def _write_learning(connection: sqlite3.Connection, record: LearningBaseline) -> None:
    found = record.learning
    connection.execute(
        "INSERT OR REPLACE INTO learning (name, source, kept, stride, readings, learned_s, from_s, to_s) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            record.alarm,
            found.source,
            np.asarray(found.kept, "<f8").tobytes(),
            found.stride,
            found.readings,
            found.learned_s,
            found.from_s,
            found.to_s,
        ),
    )
    connection.execute("DELETE FROM baseline WHERE name = ?", (record.alarm,))


def _write_jump(connection: sqlite3.Connection, jump: ClockJump) -> None:
    connection.execute(
        "INSERT OR REPLACE INTO clock_jump (before_s, after_s) VALUES (?, ?)", (jump.before_s, jump.after_s)
    )
    connection.execute(
        "DELETE FROM clock_jump WHERE before_s NOT IN (SELECT before_s FROM clock_jump ORDER BY after_s DESC LIMIT ?)",
        (_MOST_JUMPS,),
    )


def _write_event(connection: sqlite3.Connection, event: EventRecord) -> None:
    insert(connection, "event (name, time_s)", event.name, event.time_s)
    insert(
        connection,
        "event_trigger (event, time_s, reason, alarm, alarm_raised_s)",
        event.name,
        event.time_s,
        event.reason,
        event.alarm,
        event.alarm_raised_s,
    )


def _write_clip(connection: sqlite3.Connection, clip: Clip) -> None:
    insert(connection, "event (name, time_s)", clip.event, clip.start_s or 0.0)
    connection.execute(
        "INSERT OR REPLACE INTO clip (event, kind, file, state, start_s, end_s, frames, dropped, nbytes, detail) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            clip.event,
            clip.kind,
            clip.file,
            clip.state,
            clip.start_s,
            clip.end_s,
            clip.frames,
            clip.dropped,
            clip.nbytes,
            clip.detail,
        ),
    )


def _write_notice(connection: sqlite3.Connection, notice: Notice) -> None:
    """Write a notice, or count it where the latest of its topic, among the latest of all, says the same."""
    latest = connection.execute(
        "SELECT id, text, time_s FROM (SELECT * FROM notice ORDER BY id DESC LIMIT ?) WHERE topic = ? "
        "ORDER BY id DESC LIMIT 1",
        (_LATEST_NOTICES, notice.topic),
    ).fetchone()
    if latest and latest[1] == notice.text and 0 <= notice.time_s - latest[2] < _COUNTED_S:
        connection.execute(
            "UPDATE notice SET count = count + ?, last_s = ? WHERE id = ?",
            (notice.count, notice.time_s, latest[0]),
        )
        return
    columns = "notice (time_s, topic, text, count, last_s)"
    insert(connection, columns, notice.time_s, notice.topic, notice.text, notice.count, notice.last_s)


def _write_settings(connection: sqlite3.Connection, found: SettingsRecord) -> None:
    """Write what has changed since the row before: a service that starts again and again fills no disk."""
    latest = connection.execute("SELECT program, settings FROM settings ORDER BY id DESC LIMIT 1").fetchone()
    if latest != (found.program, found.settings):
        columns = "settings (time_s, program, settings)"
        insert(connection, columns, found.time_s, found.program, found.settings)


def settings_number(connection: sqlite3.Connection, found: SettingsRecord | None) -> int | None:
    """Number of the latest row with some settings. Times do not lead to it: the clock may have been wrong."""
    if found is None:
        return None
    question = "SELECT max(id) FROM settings WHERE program = ? AND settings = ?"
    number: int | None = connection.execute(question, (found.program, found.settings)).fetchone()[0]
    return number


WRITERS: Mapping[type, Callable[[sqlite3.Connection, Any], None]] = {
    ModeRecord: _write_mode,
    AlarmEdge: _write_edge,
    Acknowledgement: _write_acknowledgement,
    LearnedBaseline: _write_baseline,
    LearningBaseline: _write_learning,
    ClockJump: _write_jump,
    EventRecord: _write_event,
    Clip: _write_clip,
    SettingsRecord: _write_settings,
    Notice: _write_notice,
}
"""Writes a record of each kind, within a transaction."""


MINUTE_S, HOUR_S = 60, 3600
PERIODS_S = (MINUTE_S, HOUR_S)

MERGE_SUMMARY = """
INSERT INTO summary (channel, period_s, start_s, samples, lost, minimum, maximum, mean, mean_square)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET
    minimum = min(ifnull(minimum, excluded.minimum), ifnull(excluded.minimum, minimum)),
    maximum = max(ifnull(maximum, excluded.maximum), ifnull(excluded.maximum, maximum)),
    mean = (ifnull(mean, 0) * samples + ifnull(excluded.mean, 0) * excluded.samples)
        / nullif(samples + excluded.samples, 0),
    mean_square = (ifnull(mean_square, 0) * samples + ifnull(excluded.mean_square, 0) * excluded.samples)
        / nullif(samples + excluded.samples, 0),
    samples = samples + excluded.samples,
    lost = lost + excluded.lost
"""

_Row = tuple[int, int, int, int, int, float | None, float | None, float | None, float | None]


def summary_rows(channel: int, times_s: NDArray[np.float64], values: NDArray[np.float32]) -> Iterator[_Row]:
    """One row for ``MERGE_SUMMARY`` for each minute and hour that the samples touch; NaN counts as lost."""
    for period_s in PERIODS_S:
        starts = np.floor(times_s / period_s)
        firsts = np.flatnonzero(np.diff(starts, prepend=np.nan))
        for first, samples in zip(firsts, np.split(values, firsts[1:]), strict=True):
            known = samples[~np.isnan(samples)].astype(np.float64)
            figures: tuple[float | None, ...] = (None, None, None, None)
            if known.size:
                figures = tuple(
                    float(each) for each in (known.min(), known.max(), known.mean(), (known**2).mean())
                )
            start_s = int(starts[first]) * period_s
            yield (channel, period_s, start_s, known.size, samples.size - known.size, *figures)  # type: ignore[misc]
