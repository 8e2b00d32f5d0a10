"""Signals for modal software: read back by pyuff and judged by the SEP-005 checker."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import pyuff
from hypothesis import given
from hypothesis import strategies as st
from sdypy_sep005.sep005 import assert_sep005
from support import mount_small_disk, unmount

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.signals import Signal, even_interval, even_segments, sep005, write_uff

T0 = 1_793_000_000.25


def signal(place: str = "midspan", axis: str = "x", samples: int = 101, **changes: object) -> Signal:
    values = np.random.default_rng(len(place)).standard_normal(samples)
    settled = {"rate_hz": 240.0, "start_unix_s": T0, "unit": "mm", "values": values}
    return Signal(place, axis, **settled | changes)  # type: ignore[arg-type]


class TestUff:
    def test_pyuff_reads_back_what_was_written(self, tmp_path: Path) -> None:
        path = tmp_path / "series.uff"
        signals = [signal(), signal(axis="y", samples=4), signal("pier 3", node=2, unit="px", samples=1000)]
        assert write_uff(path, iter(signals)) == 3
        assert os.listdir(tmp_path) == ["series.uff"]
        file = pyuff.UFF(str(path))
        assert list(file.get_set_types()) == [58, 58, 58]
        for written, found in zip(signals, file.read_sets(), strict=True):
            assert found["data"] == pytest.approx(written.values, rel=1e-10)
            assert found["x"] == pytest.approx(np.arange(len(written.values)) / 240, rel=1e-5)
            assert (found["func_type"], found["abscissa_spec_data_type"]) == (1, 17)
            assert (found["ordinate_spec_data_type"], found["ordinate_len_unit_exp"]) == (8, 1)
            assert found["ordinate_axis_units_lab"] == written.unit
            assert (found["rsp_ent_name"], found["rsp_node"]) == (written.place, written.node)
        assert [found["rsp_dir"] for found in file.read_sets()] == [1, -2, 1]

    def test_the_start_is_in_the_header(self, tmp_path: Path) -> None:
        write_uff(tmp_path / "s.uff", [signal(), signal(start_unix_s=None)])
        dated, undated = pyuff.UFF(str(tmp_path / "s.uff")).read_sets()
        assert dated["id1"] == "displacement of midspan x in mm"
        assert dated["id3"] == "26-OCT-26 07:33:20"
        assert dated["id4"] == "2026-10-26T07:33:20.250000+00:00"
        assert (undated["id3"], undated["id4"]) == ("NONE", "NONE")

    @pytest.mark.parametrize(
        "place", ["-1", "a\n    -1\n    -1", "Brücke über die Donau " * 9, "", "x" * 300]
    )
    def test_no_name_breaks_the_format(self, tmp_path: Path, place: str) -> None:
        write_uff(tmp_path / "s.uff", [signal(place), signal()])
        found = pyuff.UFF(str(tmp_path / "s.uff")).read_sets()
        assert [len(each["data"]) for each in found] == [101, 101]
        assert found[1]["rsp_node"] == 1

    def test_only_the_best_digits_are_lost(self, tmp_path: Path) -> None:
        values = np.array([1e-9, -1.23456789012345e-3, 15.9999999, 0.0, -3e5])
        write_uff(tmp_path / "s.uff", [signal(values=values)])
        assert pyuff.UFF(str(tmp_path / "s.uff")).read_sets()["data"] == pytest.approx(values, rel=1e-11)

    def test_a_failure_leaves_the_older_file(self, tmp_path: Path) -> None:
        path = tmp_path / "s.uff"
        path.write_text("older")

        def failing() -> Iterator[Signal]:
            yield signal()
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            write_uff(path, failing())
        assert os.listdir(tmp_path) == ["s.uff"]
        assert path.read_text() == "older"

    def test_a_directory_that_is_not_there_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(
            OutputFault, match=r"cannot be written \(no such file or directory\): name a directory"
        ):
            write_uff(tmp_path / "none" / "s.uff", [signal()])


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 KiB."""
    mount_small_disk(tmp_path, "size=256k")
    yield tmp_path
    unmount(tmp_path)


@pytest.mark.parametrize("samples", [1000, 100_000], ids=["in our file", "in pyuff's"])
def test_a_full_disk_is_told_and_left_clean(disk: Path, samples: int) -> None:
    with pytest.raises(OutputFault, match="the disk is full: free some space"):
        write_uff(disk / "s.uff", (signal(samples=samples) for _ in range(100)))
    assert os.listdir(disk) == []


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    def work(fails: bool) -> None:
        with whole_file(path) as file:
            file.write(b"content")
            assert not path.exists()
            if fails:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work(fails=True)
    assert os.listdir(tmp_path) == []
    work(fails=False)
    assert path.read_bytes() == b"content"


class TestSep005:
    def test_the_checker_accepts_them(self) -> None:
        channels = sep005(
            [signal(), signal(start_unix_s=None), signal("cpu", "", quantity="temperature", unit="°C")]
        )
        assert_sep005(channels)
        first, undated, temperature = channels
        assert (first["name"], first["unit_str"], first["fs"], first["quantity"]) == (
            "midspan x",
            "mm",
            240.0,
            "d",
        )
        assert first["start_timestamp"] == "2026-10-26T07:33:20.250000+00:00"
        assert first["data"].dtype == np.float64
        assert "start_timestamp" not in undated
        assert "quantity" not in temperature
        assert temperature["name"] == "cpu"


class TestEvenGrids:
    def test_the_interval_is_what_the_format_can_state(self) -> None:
        times = T0 + np.arange(1000) / 240
        interval_s = even_interval(times)
        assert interval_s == 4.16667e-3
        assert float(f"{interval_s:13.5e}") == interval_s

    def test_an_hour_at_a_rate_that_six_digits_cannot_state_does_not_drift(self) -> None:
        times = np.arange(240 * 3600) / 240.0
        ((start_s, values),) = even_segments(times, np.sin(2 * np.pi * 5 * times), even_interval(times))
        grid = start_s + 4.16667e-3 * np.arange(len(values))
        assert np.abs(values - np.sin(2 * np.pi * 5 * grid)).max() < 1e-4  # 1 us late at 5 Hz would be 3e-5
        assert abs(grid[-1] - times[-1]) < 4.2e-3

    def test_jitter_is_taken_out(self) -> None:
        rng = np.random.default_rng(0)
        times = np.arange(3000) / 30 + 0.002 * rng.standard_normal(3000)
        ((start_s, values),) = even_segments(times, np.sin(2 * np.pi * 3 * times), even_interval(times))
        grid = start_s + even_interval(times) * np.arange(len(values))
        assert np.sqrt(np.mean((values - np.sin(2 * np.pi * 3 * grid)) ** 2)) < 2e-3
        assert (
            np.sqrt(
                np.mean((np.sin(2 * np.pi * 3 * times) - np.sin(2 * np.pi * 3 * np.arange(3000) / 30)) ** 2)
            )
            > 0.02
        )

    def test_even_samples_remain_as_they_are(self) -> None:
        values = np.random.default_rng(0).standard_normal(300)
        ((_, found),) = even_segments(T0 + np.arange(300) / 30, values, 1 / 30)
        assert np.array_equal(found, values)

    def test_gaps_lost_samples_and_backward_time_cut(self) -> None:
        times = np.concatenate([np.arange(0, 10), np.arange(12, 20), np.arange(5, 12), [50, 51, 52]]).astype(
            float
        )
        values = np.arange(28.0)
        values[4] = np.nan
        pieces = even_segments(times, values, 1.0)
        assert [(start_s, list(found)) for start_s, found in pieces] == [
            (0.0, [0, 1, 2, 3]),
            (5.0, [5, 6, 7, 8, 9]),
            (12.0, list(range(10, 18))),
            (5.0, list(range(18, 25))),
        ]

    @given(st.lists(st.booleans(), min_size=8, max_size=300))
    def test_nothing_is_ever_invented_in_a_gap(self, known: list[bool]) -> None:
        times = np.arange(len(known)) / 10
        values = np.where(known, times, np.nan)
        for start_s, found in even_segments(times, values, 0.1):
            grid = start_s + 0.1 * np.arange(len(found))
            assert found == pytest.approx(grid)
            first = round(start_s * 10)
            assert all(known[first : first + len(found)])
