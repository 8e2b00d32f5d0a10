"""A region over days and months in few points, against the samples that were stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.store.overview import AXES_SQL, MOST_BINS, MOST_MARKS, read_overview
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, EventRecord, SeriesBlock
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

BEGIN_S = 1_790_000_000 // 86_400 * 86_400
HOURS = 90 * 24
DECK = tuple(Channel("deck", axis, mm_per_px=2.4) for axis in "xy")


def amplitude_px(hour: int) -> float:
    """Grows day by day, and stands for each hour."""
    return 0.01 * (1 + hour // 24)


def block(hour: int) -> SeriesBlock:
    x = amplitude_px(hour) * np.array([1, -1, 1, -1], np.float32) + np.float32(0.5)
    y = np.full(4, np.nan, np.float32)
    times_s = BEGIN_S + 3600 * hour + np.array([0.0, 20.0, 40.0, 59.0])
    return SeriesBlock(DECK, times_s, np.stack([x, y]))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("overview") / "s.db"
    with Store(found) as store:
        store.write(block(hour) for hour in range(HOURS))
        store.write(
            AlarmEdge("deck high", "deck", "rms", edge, BEGIN_S + 86_400.0 * day + at_s, 0.0, 1.5, 1.0, "px")
            for day in (3, 40)
            for edge, at_s in (("raised", 0.0), ("cleared", 600.0))
        )
        store.write([EventRecord("e1", BEGIN_S + 86_400.0 * 40 + 1, "deck high")])
    return found


@pytest.mark.parametrize(("days", "bin_s"), [(0.25, 60), (1, 120), (30, 3600), (90, 3 * 3600)])
def test_every_span_has_its_bins_and_their_motion(path: Path, days: float, bin_s: int) -> None:
    to_s = BEGIN_S + HOURS * 3600
    with StoreReader(path) as reader:
        found = read_overview(reader, "deck", to_s - days * 86_400, to_s)
    x = found.axes["x"]
    assert (found.bin_s, found.first_s) == (bin_s, BEGIN_S)
    assert len(x.start_s) <= MOST_BINS
    assert len(x.start_s) == round(days * 24 / max(1, bin_s // 3600))
    hours = [(start_s - BEGIN_S) // 3600 for start_s in x.start_s]
    assert x.rms == pytest.approx([amplitude_px(hour) for hour in hours], rel=1e-4)
    assert x.low == pytest.approx([0.5 - amplitude_px(hour) for hour in hours], abs=1e-6)
    assert x.high == pytest.approx([0.5 + amplitude_px(hour) for hour in hours], abs=1e-6)


def test_lost_samples_are_no_stillness(path: Path) -> None:
    with StoreReader(path) as reader:
        y = read_overview(reader, "deck", BEGIN_S, BEGIN_S + 86_400.0).axes["y"]
    assert y.rms == y.low == y.high == [None] * 24


def test_alarms_and_events_of_the_span_the_latest_first(path: Path) -> None:
    with StoreReader(path) as reader:
        whole = read_overview(reader, "deck", BEGIN_S, BEGIN_S + HOURS * 3600.0)
        early = read_overview(reader, "deck", BEGIN_S, BEGIN_S + 10 * 86_400.0)
    assert [(each.kind, each.text, each.time_s - BEGIN_S) for each in whole.marks] == [
        ("event", "deck high", 40 * 86_400.0 + 1),
        ("alarm", "deck high", 40 * 86_400.0),
        ("alarm", "deck high", 3 * 86_400.0),
    ]
    assert [each.time_s - BEGIN_S for each in early.marks] == [3 * 86_400.0]


def test_a_storm_of_alarms_is_bounded(tmp_path: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        store.write(
            AlarmEdge(
                "deck", "deck", "rms", edge, BEGIN_S + 10.0 * n + 5 * (edge == "cleared"), 0.0, 1.5, 1.0, "px"
            )
            for n in range(MOST_MARKS + 100)
            for edge in ("raised", "cleared")  # type: ignore[arg-type]
        )
        found = read_overview(reader, "deck", BEGIN_S, BEGIN_S + 86_400.0)
    assert len(found.marks) == MOST_MARKS
    assert found.marks[0].time_s == BEGIN_S + 10.0 * (MOST_MARKS + 99)


def test_hours_are_shown_where_minutes_are_kept_no_longer(path: Path, tmp_path: Path) -> None:
    import sqlite3

    copied = tmp_path / "s.db"
    copied.write_bytes(path.read_bytes())
    with sqlite3.connect(copied) as connection:
        connection.execute("DELETE FROM summary WHERE period_s = 60")
    connection.close()
    with StoreReader(copied) as reader:
        found = read_overview(reader, "deck", BEGIN_S, BEGIN_S + 86_400.0)
    assert (found.bin_s, len(found.axes["x"].start_s)) == (3600, 24)


def test_a_span_of_which_minutes_cover_a_part_is_shown_whole(path: Path, tmp_path: Path) -> None:
    import sqlite3

    copied = tmp_path / "s.db"
    copied.write_bytes(path.read_bytes())
    kept_s = BEGIN_S + 83 * 86_400
    with sqlite3.connect(copied) as connection:
        connection.execute("DELETE FROM summary WHERE period_s = 60 AND start_s < ?", (kept_s,))
    connection.close()
    with StoreReader(copied) as reader:
        found = read_overview(reader, "deck", BEGIN_S + 70 * 86_400.0, BEGIN_S + 90 * 86_400.0)
        late = read_overview(reader, "deck", BEGIN_S + 84 * 86_400.0, BEGIN_S + 90 * 86_400.0)
    assert (found.bin_s, len(found.axes["x"].start_s)) == (3600, 20 * 24)
    assert late.bin_s == 720


def test_of_several_regions_one_is_read(path: Path) -> None:
    with StoreReader(path) as reader:
        plan = reader.rows("EXPLAIN QUERY PLAN " + AXES_SQL, 60, 60, "deck", 60, 0, 1)
    assert any("PRIMARY KEY" in str(row[-1]) for row in plan)


def test_of_a_region_that_never_was_there_is_nothing(path: Path) -> None:
    with StoreReader(path) as reader:
        assert read_overview(reader, "pier", BEGIN_S, BEGIN_S + 86_400.0).axes == {}
