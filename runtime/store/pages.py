"""Alarms, events and notices page by page, the latest first: a page costs the same, however much is stored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tremorscope.runtime.store.reader import ALARM_COLUMNS, CLIP_COLUMNS, NOTICE_COLUMNS, StoreReader
from tremorscope.runtime.store.records import Alarm, Clip, EventRecord, Notice

HistoryKind: TypeAlias = Literal["alarms", "events", "notices"]
Cursor: TypeAlias = tuple[float, int]
"""Time and number of a row: the page holds what lies before it."""
_MOST_CLIPS = 200
_MOST_TRIGGERS = 50
"""Triggers told of one event: the first."""


@dataclass(frozen=True)
class EventPage:
    """An event with its triggers and clips."""

    name: str
    time_s: float
    triggers: tuple[EventRecord, ...]
    clips: tuple[Clip, ...]


@dataclass(frozen=True)
class HistoryPage:
    """Records of one kind, the latest first."""

    records: tuple[Alarm | EventPage | Notice, ...]
    next: Cursor | None
    """Cursor of the page after this one; None if there is none."""


def read_page(reader: StoreReader, kind: HistoryKind, before: Cursor | None, most: int) -> HistoryPage:
    """Read at most so many records of a kind before a cursor, or the latest.

    Raises:
        StoreFault: the store cannot be read.
    """
    table, time, columns, make = _KINDS[kind]
    where = f"WHERE ({time}, rowid) < (?, ?)" if before else ""
    rows = reader.rows(
        f"SELECT {time}, rowid, {columns} FROM {table} {where} ORDER BY {time} DESC, rowid DESC LIMIT ?",
        *(before or ()),
        most + 1,
    )
    found = tuple(make(reader, row[2:]) for row in rows[:most])
    return HistoryPage(found, (rows[most - 1][0], rows[most - 1][1]) if len(rows) > most else None)


def _event(reader: StoreReader, row: tuple[Any, ...]) -> EventPage:
    name, time_s = row
    triggers = reader.rows(
        "SELECT event, time_s, reason, alarm, alarm_raised_s FROM event_trigger WHERE event = ? "
        "ORDER BY time_s LIMIT ?",
        name,
        _MOST_TRIGGERS,
    )
    clips = reader.rows(f"SELECT {CLIP_COLUMNS} FROM clip WHERE event = ? ORDER BY file", name)
    return EventPage(
        name, time_s, tuple(EventRecord(*each) for each in triggers), tuple(Clip(*each) for each in clips)
    )


def magnified_clips(reader: StoreReader) -> tuple[Clip, ...]:
    """The latest saved magnified clips, the latest first.

    Raises:
        StoreFault: the store cannot be read.
    """
    rows = reader.rows(
        f"SELECT {CLIP_COLUMNS} FROM clip JOIN event ON name = event WHERE kind = 'magnified' "
        "AND state = 'saved' ORDER BY event.time_s DESC LIMIT ?",
        _MOST_CLIPS,
    )
    return tuple(Clip(*row) for row in rows)


_Make: TypeAlias = Callable[[StoreReader, tuple[Any, ...]], Alarm | EventPage | Notice]
_KINDS: Mapping[HistoryKind, tuple[str, str, str, _Make]] = {
    "alarms": ("alarm", "raised_s", ALARM_COLUMNS, lambda _, row: Alarm(*row)),
    "events": ("event", "time_s", "name, time_s", _event),
    "notices": ("notice", "time_s", NOTICE_COLUMNS, lambda _, row: Notice(*row)),
}
"""Table, column of the time, columns, and the maker of a record of each kind."""
