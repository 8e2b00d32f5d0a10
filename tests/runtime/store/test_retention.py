"""Forgetting: the oldest first, by age and by space, and what somebody must still see last."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import (
    Acknowledgement,
    Channel,
    Clip,
    ClockJump,
    EventRecord,
    ModePoint,
    ModeRecord,
    Notice,
    PeakRecord,
    Record,
    SeriesBlock,
)
from tremorscope.runtime.store.retention import DAY_S, Deletions, Thinning, enforce
from tremorscope.runtime.store.room import KINDS
from tremorscope.runtime.store.settings import RetentionSettings
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

NOW = 1_793_000_000.0
X = Channel("midspan", "x")


def block(start_s: float, samples: int = 100, step_s: float = 0.01) -> SeriesBlock:
    values = np.random.default_rng(0).standard_normal((1, samples)).astype(np.float32)
    return SeriesBlock((X,), start_s + step_s * np.arange(samples), values)


def edges(name: str, time_s: float) -> list[AlarmEdge]:
    common = ("midspan", "rms")
    return [
        AlarmEdge(name, *common, "raised", time_s, time_s, 1.5, 1.0, "px"),  # type: ignore[arg-type]
        AlarmEdge(name, *common, "cleared", time_s + 9, time_s, 0.5, 1.0, "px"),  # type: ignore[arg-type]
    ]


def add_clip(store: Store, clips: Path, days_old: float, nbytes: int = 1000, alarm: str | None = None) -> str:
    """An event of some days ago with its clip; with an alarm that nobody has acknowledged if one is named."""
    time_s = NOW - days_old * DAY_S
    name = f"e{days_old:g}"
    if alarm:
        store.write(edges(alarm, time_s))
    file = f"{name}-raw.mp4"
    (clips / file).write_bytes(bytes(nbytes))
    store.write([EventRecord(name, time_s, "reason", alarm, time_s if alarm else None)])
    store.write([Clip(name, "raw", file, "saved", time_s, time_s + 10, 250, 0, nbytes)])
    return file


def left(clips: Path) -> set[str]:
    return {path.name for path in clips.iterdir()}


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    directory = tmp_path / "clips"
    directory.mkdir()
    return directory


def test_each_kind_is_kept_for_its_own_time(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        days = (0.5, 6.0, 8.0, 80.0, 100.0, 400.0, 4000.0)
        for day in reversed(days):
            time_s = NOW - day * DAY_S
            store.write(
                [block(time_s), PeakRecord(time_s, X, 2.5, 0.1, 1.0), ModeRecord(time_s, "mode 1", 2.5)]
            )
            store.write([*edges("deck", time_s), Acknowledgement("deck", time_s + 20, "ada")])
            store.write([Notice(time_s, "topic", "text"), EventRecord(f"e{day}", time_s, "by hand")])
        forgotten = enforce(store, clips, RetentionSettings(), NOW)
        assert len(list(reader.series(X))) == 2
        assert len(reader.summaries(X, 60)) == 4
        assert len(reader.summaries(X, 3600)) == 6
        assert (len(reader.peaks()), len(reader.modes())) == (5, 5)
        assert (len(reader.alarms()), len(reader.notices()), len(reader.events())) == (6, 6, 6)
        assert forgotten.rows == 5 + 3 + 1 + 2 + 2 + 1 + 1 + 1
        assert enforce(store, clips, RetentionSettings(), NOW) == Deletions()


def test_alarms_that_are_raised_or_not_acknowledged_are_kept_for_ever(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        store.write([*edges("seen", 0.0), Acknowledgement("seen", 20.0, "ada")])
        store.write(edges("unseen", 0.0))
        store.write([edges("still raised", 0.0)[0], Acknowledgement("still raised", 20.0, "ada")])
        enforce(store, clips, RetentionSettings(), NOW)
        assert {alarm.name for alarm in reader.alarms()} == {"unseen", "still raised"}


def test_series_beyond_their_room_go_oldest_first_and_the_file_shrinks(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        for number in range(3000):
            store.write([block(NOW - 40_000 + 10 * number, samples=300)])
        store.write(edges("deck", NOW - 40_000))
        policy = RetentionSettings(store_gb=0.004)
        assert store.used_bytes > 10_000_000
        size_before = store.path.stat().st_size
        enforce(store, clips, policy, NOW)
        assert 2_000_000 < store.used_bytes <= 4_000_000
        starts = [float(times[0]) for times, _ in reader.series(X)]
        assert starts[-1] == NOW - 40_000 + 29_990
        assert starts == sorted(starts)
        assert 300 < len(starts) < 1500
        assert store.path.stat().st_size < size_before / 2
        assert len(reader.alarms()) == 1
        assert sum(summary.samples for summary in reader.summaries(X, 3600)) == 900_000  # summaries stay
        store.check()


def test_what_is_beyond_its_share_gives_way_and_nothing_goes_all_at_once(tmp_path: Path, clips: Path) -> None:
    """14,000 modes in a store of 20 MB: series and summaries, which take little, stay."""
    shape = tuple(ModePoint(f"region {n}", axis, 1 / 3, 1 / 7) for n in range(40) for axis in "xy")
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        for number in range(12):
            store.write([block(NOW - DAY_S * 3 + number * 6000, samples=100, step_s=60.0)])
        store.write([Notice(NOW - 1000.0 + number, "a", str(number)) for number in range(500)])
        for first in range(0, 14_000, 1000):
            store.write(
                ModeRecord(NOW - 60.0 * (14_000 - n), "1", 2.5, shape=shape)
                for n in range(first, first + 1000)
            )
        assert store.used_bytes > 50_000_000
        policy, thinning = RetentionSettings(store_gb=0.02), Thinning()
        done = [enforce(store, clips, policy, NOW, thinning=thinning) for _ in range(8)]
        assert store.used_bytes <= 20_000_000
        assert store.path.stat().st_size <= 20_000_000
        assert {name for each in done for name in each.gave_way} == {"modes"}
        assert done[-1] == Deletions()
        assert (len(list(reader.series(X))), len(reader.notices())) == (12, 500)
        assert len(reader.summaries(X, 60)) == 1200
        modes = reader.modes()
        assert len([mode for mode in modes if mode.time_s >= NOW - DAY_S]) == 1440  # the latest day as it was
        hours = [mode.time_s // 3600 for mode in modes]
        thinned = next(n for n in range(len(hours)) if hours[n] == hours[n + 1])
        assert 150 < thinned <= 14_000 / 60  # and before it one an hour, the oldest first, until all fits
        assert hours[:thinned] == list(range(int(hours[0]), int(hours[0]) + thinned))


def test_each_kind_gives_way_down_to_its_share_in_the_stated_order(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        records: list[Record] = [edges("raised", NOW)[0]]
        for number in range(200):
            at = NOW - DAY_S + 400 * number
            records += [block(at, samples=300), *edges("unseen", at)]
            for n in range(20):
                records += [
                    PeakRecord(at, X, 2.5 + n / 10, 0.1, 1.0),
                    Notice(at + n, "a", f"{number} {n} {200 * 'x'}"),
                ]
                records.append(EventRecord(f"e{number}-{n}", at + n, "by hand"))
                records += [*edges("deck", at + 19 * n), Acknowledgement("deck", at + 19 * n + 11, "ada")]
        store.write(records)
        gone: list[str] = []
        used_bytes, thinning = store.used_bytes, Thinning()
        for room_bytes in range(used_bytes, 400_000, -50_000):
            policy = RetentionSettings(store_gb=room_bytes / 1e9)
            done = enforce(store, clips, policy, NOW, thinning=thinning)
            assert store.used_bytes <= room_bytes
            assert done.excess_bytes == 0
            gone += [name for name in done.gave_way if name not in gone]
        order = [kind.name for kind in KINDS]
        assert "series" not in gone[:2]  # they have less than their half
        others = [name for name in gone if name != "series"]
        assert others == sorted(others, key=order.index)
        assert {"peaks", "notices", "events", "seen alarms"} <= set(gone)
        left = [reader.peaks(), reader.notices(), reader.events(), list(reader.series(X))]
        assert all(left)
        assert {alarm.name for alarm in reader.alarms()} == {"deck", "unseen", "raised"}


def test_a_bound_below_what_never_gives_way_is_told(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store:
        store.write([edges(f"alarm {n}", NOW)[0] for n in range(3000)])
        done = enforce(store, clips, RetentionSettings(store_gb=0.0003), NOW)
        assert done.excess_bytes == store.used_bytes - 300_000 > 0


def test_of_old_spectra_one_an_hour_is_kept(tmp_path: Path, clips: Path) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        first_s = 3600.0 * (NOW // 3600) - 3 * DAY_S
        times_s = [first_s + 60.0 * minute for minute in range(3 * 1440)]
        store.write(PeakRecord(at, X, hz, None, 1.0) for at in times_s for hz in (2.5, 7.1))
        store.write(ModeRecord(at, str(number % 2), 2.5) for number, at in enumerate(times_s))
        policy, thinning = RetentionSettings(spectra_full_days=2.0), Thinning()
        now_s = first_s + 3 * DAY_S
        rows = sum(enforce(store, clips, policy, now_s, thinning=thinning).rows for _ in range(3))
        assert rows == (1440 - 24) * 2 + 1440 - 48
        assert enforce(store, clips, policy, now_s, thinning=thinning) == Deletions()
        assert enforce(store, clips, policy, now_s) == Deletions()  # so it is after a restart
        old = reader.peaks(to_s=now_s - 2 * DAY_S)
        assert [(peak.time_s, peak.frequency_hz) for peak in old] == [
            (first_s + 3600.0 * hour, hz) for hour in range(24) for hz in (2.5, 7.1)
        ]
        assert len(reader.modes(to_s=now_s - 2 * DAY_S)) == 48
        assert (len(reader.peaks(now_s - 2 * DAY_S)), len(reader.modes(now_s - 2 * DAY_S))) == (5760, 2880)


class TestClips:
    def test_old_ones_go_and_leave_the_list(self, tmp_path: Path, clips: Path) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            old, young = add_clip(store, clips, 91), add_clip(store, clips, 89)
            (clips / "mine.mp4").write_bytes(b"not a clip of ours")
            forgotten = enforce(store, clips, RetentionSettings(), NOW)
            assert (forgotten.clips, forgotten.clip_bytes) == ((old,), 1000)
            assert left(clips) == {young, "mine.mp4"}
            assert [(clip.file, clip.state, clip.detail) for clip in reader.clips()] == [
                (old, "removed", "older than 90 days"),
                (young, "saved", ""),
            ]

    def test_clips_of_unacknowledged_alarms_outlive_their_age(self, tmp_path: Path, clips: Path) -> None:
        with Store(tmp_path / "s.db") as store:
            file = add_clip(store, clips, 200, alarm="deck")
            assert enforce(store, clips, RetentionSettings(), NOW).clips == ()
            store.write([Acknowledgement("deck", NOW, "ada")])
            assert enforce(store, clips, RetentionSettings(), NOW).clips == (file,)

    def test_for_lack_of_room_they_go_after_all_others_oldest_first(
        self, tmp_path: Path, clips: Path
    ) -> None:
        with Store(tmp_path / "s.db") as store:
            unseen = [add_clip(store, clips, 50, alarm="a"), add_clip(store, clips, 40, alarm="b")]
            others = [add_clip(store, clips, 30), add_clip(store, clips, 20), add_clip(store, clips, 10)]
            gone: list[str] = []
            for room in (4000, 3000, 2000, 1000):
                gone += enforce(store, clips, RetentionSettings(clips_gb=room / 1e9), NOW).clips
            assert gone == [*others, unseen[0]]
            assert left(clips) == {unseen[1]}

    def test_what_the_disk_guard_wants_is_freed_clips_then_series_then_unseen_clips(
        self, tmp_path: Path, clips: Path
    ) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            unseen = add_clip(store, clips, 50, alarm="a")
            first, second = add_clip(store, clips, 30), add_clip(store, clips, 20)
            store.write([block(NOW - 2 * DAY_S), block(NOW - 0.5 * DAY_S)])
            assert enforce(store, clips, RetentionSettings(), NOW, wanted_bytes=800).clips == (first,)
            assert enforce(store, clips, RetentionSettings(), NOW, wanted_bytes=1000).clips == (second,)
            assert len(list(reader.series(X))) == 2
            assert enforce(store, clips, RetentionSettings(), NOW, wanted_bytes=1000).clips == ()
            assert len(list(reader.series(X))) == 1  # what is younger than a day stays
            assert enforce(store, clips, RetentionSettings(), NOW, wanted_bytes=1000).clips == (unseen,)
            assert left(clips) == set()

    def test_a_file_that_is_gone_already_is_no_trouble(self, tmp_path: Path, clips: Path) -> None:
        with Store(tmp_path / "s.db") as store:
            file = add_clip(store, clips, 91)
            (clips / file).unlink()
            assert enforce(store, clips, RetentionSettings(), NOW).clips == (file,)

    def test_a_file_that_cannot_be_deleted_is_told_and_not_listed(self, tmp_path: Path, clips: Path) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            file = add_clip(store, clips, 91)
            (clips / file).unlink()
            (clips / file).mkdir()  # as little to be deleted as a file on a read-only disk
            forgotten = enforce(store, clips, RetentionSettings(), NOW)
            assert (forgotten.clips, forgotten.stuck) == ((), (file,))
            assert reader.clips()[0].state == "removed"


class TestClock:
    """Boots in 1970, clocks that are set, time that nobody has seen pass."""

    @pytest.mark.parametrize(("before_s", "after_s"), [(40_000.0, NOW), (NOW, NOW + DAY_S), (NOW, NOW + 9e8)])
    def test_a_jump_deletes_nothing_and_ages_go_on_from_there(
        self, before_s: float, after_s: float, tmp_path: Path, clips: Path
    ) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            old, young = before_s - 6.5 * DAY_S, before_s - 30.0
            store.write(
                [block(old), PeakRecord(old, X, 2.5, 0.1, 1.0), block(young), Notice(young, "a", "b")]
            )
            (clips / "e-raw.mp4").write_bytes(b"x")
            store.write(
                [EventRecord("e", old, "by hand"), Clip("e", "raw", "e-raw.mp4", "saved", old, old, 1, 0, 1)]
            )
            store.write([ClockJump(before_s, after_s)])
            policy = RetentionSettings(clips_days=7.0, spectra_days=7.0, minutes_days=7.0)
            assert enforce(store, clips, policy, after_s, wanted_bytes=0) == Deletions()
            assert enforce(store, clips, policy, after_s + 0.4 * DAY_S) == Deletions()
            later = enforce(store, clips, policy, after_s + 0.6 * DAY_S)  # 7.1 days old now
            assert (later.rows, later.clips) == (3, ("e-raw.mp4",))  # the block, its minute, the peak
            assert len(list(reader.series(X))) == 1
            store.write([block(after_s + 43_200.0)])
            enforce(store, clips, policy, after_s + 7.05 * DAY_S)
            assert [float(times[0]) for times, _ in reader.series(X)] == [after_s + 43_200.0]

    def test_what_was_stored_before_a_boot_in_1970_ages_by_the_right_clock(
        self, tmp_path: Path, clips: Path
    ) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            store.write([block(NOW - 8 * DAY_S), block(NOW - 6 * DAY_S), block(100.0)])
            store.write([ClockJump(200.0, NOW)])
            enforce(store, clips, RetentionSettings(), NOW)
            assert [float(times[0]) for times, _ in reader.series(X)] == [100.0, NOW - 6 * DAY_S]

    def test_a_clock_that_cannot_be_believed_forgets_for_lack_of_room_only(
        self, tmp_path: Path, clips: Path
    ) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            file = add_clip(store, clips, 91)
            store.write([block(NOW - 80 * DAY_S)])
            assert enforce(store, clips, RetentionSettings(), NOW, by_age=False) == Deletions()
            found = enforce(store, clips, RetentionSettings(clips_gb=1e-9), NOW, by_age=False)
            assert found.clips == (file,)
            assert reader.clips()[0].detail == "to make room"

    def test_a_clock_in_1970_does_not_make_clips_go_before_series(self, tmp_path: Path, clips: Path) -> None:
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            unseen = add_clip(store, clips, 50, alarm="a")
            store.write([block(NOW - 2 * DAY_S), block(NOW - 0.5 * DAY_S)])
            found = enforce(store, clips, RetentionSettings(), 100.0, wanted_bytes=800, by_age=False)
            assert (found.clips, left(clips)) == ((), {unseen})
            assert [float(times[0]) for times, _ in reader.series(X)] == [NOW - 0.5 * DAY_S]

    def test_for_lack_of_room_what_was_written_first_goes_first(self, tmp_path: Path, clips: Path) -> None:
        """New samples of a boot in 1970 are not the oldest."""
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            for number in range(600):
                store.write([block(NOW - 40_000 + 10 * number, samples=300)])
            store.write([block(100.0)])
            enforce(store, clips, RetentionSettings(store_gb=0.001), 200.0, by_age=False)
            starts = [float(times[0]) for times, _ in reader.series(X)]
            assert (len(starts) < 400, starts[0]) == (True, 100.0)

    def test_a_clock_that_is_set_every_hour_fills_no_store(self, tmp_path: Path) -> None:
        with Store(tmp_path / "s.db") as store:
            store.write([ClockJump(float(number), NOW + number) for number in range(1000)])
            with store.transaction() as connection:
                found = connection.execute("SELECT count(*), min(before_s) FROM clock_jump").fetchone()
            assert found == (64, 936.0)


def test_a_long_backlog_takes_several_calls_so_that_writers_get_their_turn(
    tmp_path: Path, clips: Path
) -> None:
    with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
        for start in range(0, 12_000, 1000):
            store.write([block(float(start + number), samples=1) for number in range(1000)])
        assert (
            enforce(store, clips, RetentionSettings(hours_days=36_500, minutes_days=36_500), NOW).rows
            == 40 * 256
        )
        enforce(store, clips, RetentionSettings(hours_days=36_500, minutes_days=36_500), NOW)
        assert list(reader.series(X)) == []


@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_a_policy_that_would_keep_nothing_is_refused(value: float) -> None:
    with pytest.raises(ValidationError, match="series_days"):
        RetentionSettings(series_days=value)
