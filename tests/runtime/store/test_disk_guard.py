"""The disk guard: what it gives up, in which order, when it begins again, and that it says so."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support import mount_small_disk, unmount

from tremorscope.runtime.store.disk import ORDER, DiskGuard
from tremorscope.runtime.store.settings import DiskSettings

LEVELS = DiskSettings(previews_below_gb=2e-6, clips_below_gb=1e-6, series_below_gb=2e-7)


class Disk:
    """A disk whose free space is what we say."""

    def __init__(self, free: int) -> None:
        self.free = free
        self.broken = False

    def __call__(self, directory: Path) -> int:
        if self.broken:
            raise OSError(5, "Input/output error", str(directory))
        return self.free


def guard_of(disk: Disk) -> DiskGuard:
    return DiskGuard(Path("/data"), LEVELS, disk)


def texts(guard: DiskGuard, disk: Disk, free: int) -> list[str]:
    disk.free = free
    return [notice.text for notice in guard.check(0.0)]


def test_things_are_given_up_and_begun_again_in_order_and_both_edges_are_told() -> None:
    disk = Disk(5000)
    guard = guard_of(disk)
    assert texts(guard, disk, 5000) == []
    assert texts(guard, disk, 1999) == ["previews given up: 2 kB free, less than 2 kB"]
    assert texts(guard, disk, 1000) == []
    assert texts(guard, disk, 100) == [
        "clips given up: 100 bytes free, less than 1 kB",
        "series given up: 100 bytes free, less than 200 bytes",
    ]
    assert guard.state.given_up == ORDER
    assert texts(guard, disk, 249) == []
    assert texts(guard, disk, 250) == ["series begun again: 250 bytes free"]
    assert texts(guard, disk, 3000) == ["clips begun again: 3 kB free", "previews begun again: 3 kB free"]
    assert guard.state.given_up == ()


def test_alarms_are_not_among_what_is_given_up() -> None:
    assert ORDER == ("previews", "clips", "series")


@given(st.lists(st.integers(0, 4000), max_size=100))
def test_a_later_thing_is_never_given_up_before_an_earlier_one(history: list[int]) -> None:
    disk = Disk(5000)
    guard = guard_of(disk)
    told: list[str] = []
    for free in history:
        told += texts(guard, disk, free)
        assert guard.state.given_up == ORDER[: len(guard.state.given_up)]
    for thing in ORDER:
        edges = [text.split()[1] for text in told if text.startswith(thing)]
        assert edges == ["given", "begun"] * (len(edges) // 2) + ["given"] * (len(edges) % 2)


@given(st.lists(st.sampled_from([1000, 1249]), max_size=50), st.sampled_from([999, 5000]))
def test_it_does_not_flutter_within_the_margin(history: list[int], first: int) -> None:
    disk = Disk(5000)
    guard = guard_of(disk)
    texts(guard, disk, first)
    before = guard.state.allows("clips")
    assert [text for free in history for text in texts(guard, disk, free) if text.startswith("clips")] == []
    assert guard.state.allows("clips") is before


def test_retention_is_asked_for_what_is_missing() -> None:
    disk = Disk(5000)
    guard = guard_of(disk)
    assert guard.wanted_bytes == 0
    texts(guard, disk, 2000)
    assert guard.wanted_bytes == 0
    texts(guard, disk, 1999)
    assert guard.wanted_bytes == 2500 - 1999


def test_a_disk_that_cannot_be_measured_is_told_once_and_changes_nothing() -> None:
    disk = Disk(900)
    guard = guard_of(disk)
    guard.check(0.0)
    disk.broken = True
    assert texts(guard, disk, 900) == ["/data: its free space cannot be measured (input/output error)"]
    assert texts(guard, disk, 900) == []
    assert guard.state.given_up == ("previews", "clips")
    assert (guard.state.free_bytes, guard.wanted_bytes) == (None, 0)
    disk.broken = False
    assert texts(guard, disk, 900) == ["/data: its free space can be measured again"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clips_below_gb": 2.0}, "levels are out of order: give previews_below_gb more than clips_below_gb"),
        ({"series_below_gb": 0}, "greater than 0"),
        ({"margin": 1.0}, "greater than 1"),
        ({"margin": float("nan")}, "finite number"),
    ],
)
def test_levels_that_cannot_be_followed_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DiskSettings.model_validate(changes)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    mount_small_disk(tmp_path, "size=1m")
    yield tmp_path
    unmount(tmp_path)


def test_a_real_disk_fills_empties_and_becomes_read_only(disk: Path) -> None:
    guard = DiskGuard(disk, DiskSettings(previews_below_gb=6e-4, clips_below_gb=3e-4, series_below_gb=1e-4))
    guard.check(0.0)
    assert (guard.state.free_bytes, guard.state.given_up) == (1 << 20, ())
    (disk / "clip").write_bytes(bytes(800_000))
    guard.check(0.0)
    assert guard.state.given_up == ("previews", "clips")
    (disk / "clip").unlink()
    guard.check(0.0)
    assert guard.state.given_up == ()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    guard.check(0.0)
    assert (guard.state.free_bytes, guard.state.given_up) == (0, ORDER)


def test_a_directory_that_is_gone_is_trouble(tmp_path: Path) -> None:
    guard = DiskGuard(tmp_path / "none", LEVELS)
    (notice,) = guard.check(7.0)
    assert (notice.time_s, notice.topic) == (7.0, "disk")
    assert "cannot be measured (no such file or directory)" in notice.text
