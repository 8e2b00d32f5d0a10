"""Alarms, events and notices page by page, and notices that are repeated."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tremorscope.runtime.store.pages import Cursor, EventPage, HistoryKind, read_page
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Alarm, Clip, EventRecord, Notice
from tremorscope.runtime.store.schema import MIGRATIONS
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge


def all_pages(reader: StoreReader, kind: HistoryKind, most: int) -> list[object]:
    found: list[object] = []
    before: Cursor | None = None
    while True:
        page = read_page(reader, kind, before, most)
        assert len(page.records) <= most
        found += page.records
        if page.next is None:
            return found
        before = page.next


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(times_s=st.lists(st.integers(0, 5), max_size=12), most=st.integers(1, 5))
def test_pages_hold_everything_once_the_latest_first(tmp_path: Path, times_s: list[int], most: int) -> None:
    path = tmp_path / "s.db"
    path.unlink(missing_ok=True)
    with Store(path) as store, StoreReader(path) as reader:
        store.write(Notice(float(at), "a", f"{number}") for number, at in enumerate(times_s))
        found = all_pages(reader, "notices", most)
        wanted = sorted(((float(at), number) for number, at in enumerate(times_s)), reverse=True)
        assert [(each.time_s, int(each.text)) for each in found] == wanted  # type: ignore[attr-defined]


def test_a_page_of_many_reads_no_more_than_itself(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        store.write(
            AlarmEdge("deck", "midspan", "rms", edge, 10.0 * n + 5 * (edge == "cleared"), 0.0, 1.5, 1.0, "px")
            for n in range(5000)
            for edge in ("raised", "cleared")  # type: ignore[arg-type]
        )
        steps = 0

        def count() -> int:
            nonlocal steps
            steps += 1
            return 0

        reader._connection.set_progress_handler(count, 10)
        for before in (None, (25_000.0, 2501), (100.0, 11)):
            steps = 0
            page = read_page(reader, "alarms", before, 10)
            first = page.records[0]
            assert isinstance(first, Alarm)
            assert first.raised_s == (49_990.0 if before is None else before[0] - 10.0)
            assert steps < 200  # instructions of SQLite's machine, by the ten: 5000 rows take thousands


def test_an_event_comes_with_its_triggers_and_clips(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        store.write([EventRecord("e1", 1.0, "by hand"), EventRecord("e2", 2.0, "sway", "deck", 2.0)])
        store.write([EventRecord("e2", 3.0 + number, "again") for number in range(80)])
        store.write([Clip("e2", "raw", "e2-raw.mp4", "saved", 1.0, 3.0, 50, 0, 1000)])
        second, first = read_page(reader, "events", None, 10).records
        assert isinstance(second, EventPage)
        assert isinstance(first, EventPage)
        assert (first.name, first.clips, len(second.triggers)) == ("e1", (), 50)
        assert second.triggers[0] == EventRecord("e2", 2.0, "sway", "deck", 2.0)
        assert [clip.file for clip in second.clips] == ["e2-raw.mp4"]
        assert (reader.is_saved("e2-raw.mp4"), reader.is_saved("e1-raw.mp4")) == (True, False)


def test_a_notice_that_is_repeated_is_one_with_a_count(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        for number in range(882):
            store.write([Notice(100.0 + number / 88, "configuration", "refused: camera: no such key")])
            if number == 400:
                store.write([Notice(105.0, "disk", "clips given up")])
        assert reader.notices() == (
            Notice(100.0, "configuration", "refused: camera: no such key", 882, 100.0 + 881 / 88),
            Notice(105.0, "disk", "clips given up"),
        )
        store.write([Notice(3800.0, "configuration", "refused: camera: no such key")])  # another hour
        store.write(
            [Notice(3801.0, "configuration", "refused: other"), Notice(3802.0, "disk", "clips given up")]
        )
        store.write([Notice(3803.0, "configuration", "refused: camera: no such key", count=5)])
        assert [notice.count for notice in reader.notices()] == [882, 1, 1, 1, 1, 5]


@pytest.mark.parametrize("version", [1, 2])
def test_notices_of_earlier_versions_came_once(tmp_path: Path, version: int) -> None:
    path = tmp_path / "s.db"
    Store(path, migrations=MIGRATIONS[:version]).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO notice (time_s, topic, text) VALUES (1.0, 'a', 'b')")
    connection.close()
    with Store(path), StoreReader(path) as reader:
        assert reader.notices() == (Notice(1.0, "a", "b"),)


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_file_of_an_earlier_version_is_read_as_it_lies_there(tmp_path: Path, version: int) -> None:
    """As from a memory card: no writer brings it forward first."""
    path = tmp_path / "s.db"
    Store(path, migrations=MIGRATIONS[:version]).close()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO notice (time_s, topic, text) VALUES (1.0, 'a', 'b')")
        connection.execute(
            "INSERT INTO alarm (name, source, quantity, unit, raised_s, value, threshold) "
            "VALUES ('deck', 'mid', 'rms', 'mm', 2.0, 5.0, 4.0)"
        )
    connection.close()
    with StoreReader(path) as reader:
        assert reader.notices() == (Notice(1.0, "a", "b"),)
        (alarm,) = reader.alarms()
        assert (alarm.name, alarm.value, alarm.detail) == ("deck", 5.0, "")
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    connection.close()
