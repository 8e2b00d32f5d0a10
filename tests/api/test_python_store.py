"""A device's store as arrays: in mm where the scale was known, between two moments however they are told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from sdypy_sep005.sep005 import assert_sep005

import tremorscope as ts
from tremorscope.runtime.store.records import Channel, PeakRecord, SeriesBlock
from tremorscope.runtime.store.store import Store

T0 = 1_793_000_000.0  # 2026-10-26T07:33:20Z
X, Y = Channel("midspan", "x", mm_per_px=0.5), Channel("midspan", "y", mm_per_px=0.5)
LATER = Channel("midspan", "y", mm_per_px=2.0)
PIER, HEAT = Channel("pier", "x"), Channel("device", "", "temperature", "degC")
VALUES = np.random.default_rng(0).standard_normal((3, 640)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ts.OpenStore]:
    times = T0 + np.arange(320) / 32
    with Store(tmp_path / "s.db") as written:
        written.write([SeriesBlock((X, Y, PIER), times, VALUES[:, :320])])
        written.write([SeriesBlock((LATER,), times + 10, VALUES[1:2, 320:])])
        written.write([SeriesBlock((HEAT,), np.array([T0]), np.array([[20.5]], np.float32))])
        # As the service writes it: peaks are in px, and must not make a second channel of the series.
        written.write([PeakRecord(T0 + 5, Channel("midspan", "x"), 2.5, 0.01, 0.3)])
    with ts.open_store(tmp_path / "s.db") as opened:
        yield opened


def test_displacement_is_in_mm_by_the_scale_of_its_time(store: ts.OpenStore) -> None:
    series = store.series("midspan", "y")
    assert (series.unit, series.axis, series.time_s.size) == ("mm", "y", 640)
    assert series.values == pytest.approx(np.concatenate([0.5 * VALUES[1, :320], 2.0 * VALUES[1, 320:]]))
    assert (np.diff(series.time_s) > 0).all()
    assert series.times_utc[0] == np.datetime64("2026-10-26T07:33:20")


def test_other_quantities_keep_their_unit(store: ts.OpenStore) -> None:
    assert store.series("pier").unit == "px"
    heat = store.series("device", quantity="temperature")
    assert (heat.unit, heat.values.tolist()) == ("degC", [20.5])


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (T0 + 2, T0 + 4),
        ("2026-10-26T07:33:22Z", "2026-10-26T09:33:24+02:00"),
        ("2026-10-26 07:33:22", "2026-10-26T07:33:24"),
        (datetime(2026, 10, 26, 7, 33, 22), datetime(2026, 10, 26, 7, 33, 24, tzinfo=timezone.utc)),
        (
            datetime(2026, 10, 26, 9, 33, 22, tzinfo=timezone(timedelta(hours=2))),
            np.float64(T0 + 4),
        ),
    ],
)
def test_moments_are_told_in_any_form(store: ts.OpenStore, start: object, end: object) -> None:
    series = store.series("midspan", "x", start=start, end=end)  # type: ignore[arg-type]
    assert series.values == pytest.approx(0.5 * VALUES[0, 64:128])


def test_records_and_signals(store: ts.OpenStore) -> None:
    assert [peak.frequency_hz for peak in store.peaks("2026-10-26")] == [2.5]
    assert store.peaks(T0 + 6) == store.modes() == store.alarms() == ()
    assert_sep005(store.to_sep005())
    page = store._repr_html_()
    assert "<td>midspan</td><td>y</td><td>displacement</td><td>px</td><td>2.0</td>" in page


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"region": "deck"}, "holds no displacement of deck: choose from .*displacement of midspan y"),
        ({"region": "midspan"}, "several series of displacement of midspan: name an axis"),
        ({"region": "midspan", "axis": "x", "start": "yesterday"}, "start: .* not 'yesterday'"),
    ],
)
def test_a_question_that_is_not_clear_is_refused(
    store: ts.OpenStore, arguments: dict[str, str], told: str
) -> None:
    with pytest.raises(ts.Fault, match=told):
        store.series(**arguments)  # type: ignore[arg-type]
