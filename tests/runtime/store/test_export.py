"""Exports of a store: what other programs read is what was stored."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import pytest
import pyuff
from sdypy_sep005.sep005 import assert_sep005
from support import run_command

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.reports.signals import PROGRAM
from tremorscope.runtime.store.export import export, export_sep005, settings_of, signals
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import (
    Channel,
    EventRecord,
    ModePoint,
    ModeRecord,
    PeakRecord,
    SeriesBlock,
    SettingsRecord,
)
from tremorscope.runtime.store.schema import MIGRATIONS
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

T0 = 1_793_000_000.0
BEFORE = SettingsRecord(T0 - 900, "tremorscope 0.1.0", '{"vibration": {"window_s": 10.0}}')
AFTER = SettingsRecord(T0 + 56, "tremorscope 0.2.0", '{"vibration": {"window_s": 20.0}}')
X, Y = Channel("midspan", "x", mm_per_px=0.5), Channel("midspan", "y", mm_per_px=0.5)
PIER, HEAT = Channel("pier", "x"), Channel("device", "", "temperature", "degC")


@pytest.fixture
def reader(tmp_path: Path) -> StoreReader:
    """Ten blocks of 10 s at 32 Hz of two regions, with 6 s missing after the fifth, and a temperature a block."""
    values = np.random.default_rng(0).standard_normal((3, 3200)).astype(np.float32)
    values[2, 100] = np.nan
    with Store(tmp_path / "s.db") as store:
        for number in range(10):
            part = slice(320 * number, 320 * (number + 1))
            start_s = T0 + 10 * number + (6 if number > 4 else 0)
            store.write([SeriesBlock((X, Y, PIER), start_s + np.arange(320) / 32, values[:, part])])
            store.write([SeriesBlock((HEAT,), np.array([start_s]), np.array([[20.5]], np.float32))])
        store.write([PeakRecord(T0 + 50, X, 2.5, 0.01, 0.3), EventRecord("e1", T0 + 1, "by hand")])
        store.write([ModeRecord(T0 + 50, "mode 1", 2.5, shape=(ModePoint("midspan", "x", 1.0, 0.0),))])
        store.write([AlarmEdge("deck", "midspan", "rms", "raised", T0 + 5, T0, 1.5, 1.0, "px")])
    opened = StoreReader(tmp_path / "s.db")
    opened.values = values  # type: ignore[attr-defined]
    return opened


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_csv_holds_every_sample_as_it_was_measured(reader: StoreReader, tmp_path: Path) -> None:
    done = export(reader, tmp_path)
    assert done.samples == 3210
    rows = [row for row in rows_of(tmp_path / "series.csv") if row["midspan x displacement (px, 0.5 mm/px)"]]
    values = reader.values  # type: ignore[attr-defined]
    for column, expected in zip(
        ("midspan x displacement (px, 0.5 mm/px)", "pier x displacement (px)"), values[[0, 2]], strict=True
    ):
        found = [float(row[column] or "nan") for row in rows]
        assert found == pytest.approx(expected, rel=1e-6, nan_ok=True)
    assert rows[0]["time_unix_s"] == "1793000000.000000"
    assert rows[0]["time_utc"] == "2026-10-26T07:33:20.000000+00:00"
    heat = [row["device temperature (degC)"] for row in rows_of(tmp_path / "series.csv")]
    assert [value for value in heat if value] == ["20.5"] * 10


def test_uff_holds_displacements_in_mm_cut_at_the_gap(reader: StoreReader, tmp_path: Path) -> None:
    done = export(reader, tmp_path)
    sets = pyuff.UFF(str(tmp_path / "series.uff")).read_sets()
    values = reader.values  # type: ignore[attr-defined]
    found = [(each["rsp_ent_name"], each["rsp_dir"], each["rsp_node"], len(each["data"])) for each in sets]
    assert found == [
        ("midspan", 1, 1, 1600), ("midspan", 1, 1, 1600), ("midspan", -2, 1, 1600), ("midspan", -2, 1, 1600),
        ("pier", 1, 2, 100), ("pier", 1, 2, 1499), ("pier", 1, 2, 1600), ("device", 0, 3, 5), ("device", 0, 3, 5),
    ]  # fmt: skip
    assert done.signals == 9
    assert sets[0]["data"] == pytest.approx(0.5 * values[0, :1600], rel=1e-6)
    assert [each["ordinate_axis_units_lab"] for each in sets[:5:4]] == ["mm", "px"]
    assert sets[1]["id4"].startswith("2026-10-26T07:34:16")


def test_sep005_is_accepted_by_its_checker(reader: StoreReader) -> None:
    channels = export_sep005(reader, T0, T0 + 20)
    assert_sep005(channels)
    assert [(each["name"], len(each["data"])) for each in channels[:2]] == [
        ("midspan x", 640),
        ("midspan y", 640),
    ]
    assert channels[0]["fs"] == 32.0


def test_pixels_are_kept_where_they_are_asked_for(reader: StoreReader) -> None:
    assert {signal.unit for signal in signals(reader, in_mm=False)} == {"px", "degC"}


def test_every_export_says_by_which_program_and_settings_it_was_measured(
    reader: StoreReader, tmp_path: Path
) -> None:
    before, after = BEFORE, AFTER
    measured = [
        replace(each, measured_by=after if each.times_s[0] > T0 + 50 else before) for each in reader.blocks()
    ]
    with Store(tmp_path / "s.db") as store:
        again = SettingsRecord(T0, before.program, before.settings)  # a restart: nothing has changed
        with store.transaction() as connection:
            connection.execute("DELETE FROM block")
        store.write([before, again, *measured[:10], after, *measured[10:]])
    export(reader, tmp_path)
    rows = rows_of(tmp_path / "series.csv")
    told = [(float(row["time_unix_s"]), row["source"]) for row in rows if row["source"]]
    assert told == [
        (T0, f"tremorscope 0.1.0; settings {before.settings}"),
        (T0 + 56, f"tremorscope 0.2.0; settings {after.settings}"),
    ]
    described = json.loads((tmp_path / "csv-metadata.json").read_text())
    assert described["dc:creator"] == PROGRAM
    measured_by = described["dc:source"]["measured_by"]
    assert [each["settings"]["vibration"]["window_s"] for each in measured_by] == [10.0, 20.0]
    assert all((tmp_path / each["url"]).exists() for each in described["tables"])
    hashes = [hashlib.sha256(each.settings.encode()).hexdigest() for each in (before, after)]
    assert [each["settings_sha256"] for each in measured_by] == hashes
    wanted = {
        f"{each.program}, settings sha256 {digest[:16]}"
        for each, digest in zip((before, after), hashes, strict=True)
    }
    assert {each["id5"] for each in pyuff.UFF(str(tmp_path / "series.uff")).read_sets()} == wanted
    assert {each["source"] for each in export_sep005(reader)} == wanted
    assert [each.program for each in settings_of(reader, T0, T0 + 10)] == [before.program]


def test_a_clock_that_nobody_has_set_does_not_change_by_which_settings_it_was_measured(
    tmp_path: Path,
) -> None:
    """Two starts in 1970, before a time server answers: in the settings as before, and in others."""
    starts_s = (20.0, T0, 30.0, T0 + 600, 25.0, T0 + 900)
    measured_by = (BEFORE, BEFORE, AFTER, AFTER, BEFORE, BEFORE)
    with Store(tmp_path / "s.db") as store:
        for number, (start_s, by) in enumerate(zip(starts_s, measured_by, strict=True)):
            values = np.full((1, 32), number, np.float32)
            block = SeriesBlock((PIER,), start_s + np.arange(32) / 8, values, by)
            store.write([SettingsRecord(start_s - 10, by.program, by.settings), block])
    with StoreReader(tmp_path / "s.db") as opened:
        told = {int(each["data"][0]): each["source"] for each in export_sep005(opened)}
        wanted = [f"{by.program}, settings sha256 {by.sha256[:16]}" for by in measured_by]
        assert told == dict(enumerate(wanted))
        export(opened, tmp_path)
        assert [each.settings for each in settings_of(opened, T0 + 590, T0 + 890)] == [AFTER.settings]
    source, found = "", {}
    for row in rows_of(tmp_path / "series.csv"):
        source = row["source"] or source
        found[int(row["pier x displacement (px)"])] = source
    assert found == {number: f"{by.program}; settings {by.settings}" for number, by in enumerate(measured_by)}


def test_a_store_of_an_earlier_version_is_read_without_its_settings(tmp_path: Path) -> None:
    with Store(tmp_path / "old.db", migrations=MIGRATIONS[:4]) as store, store.transaction() as connection:
        times = (np.arange(32) / 32).tobytes()
        connection.execute("INSERT INTO channel VALUES (1, 'midspan', 'x', 'displacement', 'px', NULL)")
        connection.execute("INSERT INTO block VALUES (1, ?, ?, 32, ?)", (T0, T0 + 31 / 32, times))
        connection.execute("INSERT INTO block_values VALUES (1, 1, ?)", (np.ones(32, "<f4").tobytes(),))
    with StoreReader(tmp_path / "old.db") as old:
        assert settings_of(old, T0, T0 + 9) == []
        assert {each["source"] for each in export_sep005(old)} == {"settings not stored"}


def test_a_store_of_before_says_that_its_settings_are_not_known(reader: StoreReader, tmp_path: Path) -> None:
    export(reader, tmp_path)
    first, *others = [row["source"] for row in rows_of(tmp_path / "series.csv")]
    assert first == f"settings not stored; exported by {PROGRAM}"
    assert set(others) == {""}


def test_tables_of_what_was_found(reader: StoreReader, tmp_path: Path) -> None:
    done = export(reader, tmp_path)
    assert [path.name for path in done.files] == [
        "series.csv", "series.uff", "csv-metadata.json", "peaks.csv", "modes.csv", "alarms.csv", "events.csv",
    ]  # fmt: skip
    (peak,) = rows_of(tmp_path / "peaks.csv")
    assert (peak["frequency_hz"], peak["channel_region"], peak["channel_axis"]) == ("2.5", "midspan", "x")
    (mode,) = rows_of(tmp_path / "modes.csv")
    assert json.loads(mode["shape"]) == [{"region": "midspan", "axis": "x", "real": 1.0, "imaginary": 0.0}]
    (alarm,) = rows_of(tmp_path / "alarms.csv")
    assert (alarm["name"], alarm["cleared_s"]) == ("deck", "")


def test_a_time_without_samples_is_an_empty_table(reader: StoreReader, tmp_path: Path) -> None:
    done = export(reader, tmp_path, 0.0, 1.0)
    assert (done.samples, done.signals) == (0, 0)
    assert rows_of(tmp_path / "series.csv") == []


@pytest.mark.usefixtures("reader")
def test_the_command_exports_a_span_and_never_half_of_it(tmp_path: Path) -> None:
    moment = datetime.fromtimestamp(T0 + 20, timezone.utc).isoformat()
    arguments = ("export-store", tmp_path / "s.db", "-o", tmp_path / "out")
    done = run_command(*arguments, "--to", moment.replace("+00:00", "Z"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "642 rows, 4 signals without a gap:"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "alarms.csv", "csv-metadata.json", "events.csv", "series.csv", "series.uff",
    ]  # fmt: skip
    before = (tmp_path / "out" / "series.csv").read_bytes()
    for more, complaint in (
        ((), "--overwrite"),
        (("--overwrite", "--from", "soon"), "--from soon is no time"),
        (("--overwrite", "--from", "2026-11-02", "--to", "2026-11-01"), "is not before"),
    ):
        refused = run_command(*arguments, *more)
        assert refused.returncode != 0
        assert complaint in refused.stderr
        assert len(refused.stderr.splitlines()) == 1
    assert (tmp_path / "out" / "series.csv").read_bytes() == before
    missing = run_command("export-store", tmp_path / "none.db", "-o", tmp_path / "out2")
    assert (missing.returncode, (tmp_path / "out2").exists()) == (1, False)
    assert "none.db" in missing.stderr


def test_a_directory_that_is_not_there_is_told(reader: StoreReader, tmp_path: Path) -> None:
    with pytest.raises(OutputFault, match="cannot be written"):
        export(reader, tmp_path / "none")
