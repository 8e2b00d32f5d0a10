"""The store: what is written comes back, whole transactions or nothing, one writer, many readers."""

from __future__ import annotations

import math
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from support import ROOT, mount_small_disk, unmount

from tremorscope.runtime.service.history import SeriesCollector
from tremorscope.runtime.store.database import file_bytes
from tremorscope.runtime.store.disk import Reserve
from tremorscope.runtime.store.reader import StoreReader, salvage
from tremorscope.runtime.store.records import (
    Acknowledgement,
    Alarm,
    Channel,
    Clip,
    EventRecord,
    LearnedBaseline,
    LearningBaseline,
    ModePoint,
    ModeRecord,
    Notice,
    PeakRecord,
    SeriesBlock,
)
from tremorscope.runtime.store.schema import APPLICATION_ID, MIGRATIONS
from tremorscope.runtime.store.sqlite_file import (
    StoreBusyFault,
    StoreDamagedFault,
    StoreFault,
    StoreFullFault,
)
from tremorscope.runtime.store.store import Store, open_or_set_aside
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, OpenAlarm
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Learning

T0 = 1_793_000_000.0
X = Channel("midspan", "x", mm_per_px=0.5)
Y = Channel("midspan", "y", mm_per_px=0.5)


def block(start_s: float, values: NDArray[np.float32], rate_hz: float = 30.0) -> SeriesBlock:
    return SeriesBlock((X, Y), start_s + np.arange(values.shape[1]) / rate_hz, values)


def noise(samples: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((2, samples)).astype(np.float32)


def edge(which: str, time_s: float, name: str = "deck") -> AlarmEdge:
    return AlarmEdge(name, "midspan", "rms", which, time_s, time_s - 5, 1.5, 1.0, "px")  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tremorscope.db"


class TestWhatIsWrittenComesBack:
    def test_series_to_the_bit_with_their_times(self, path: Path) -> None:
        values = noise(300)
        values[0, 17] = np.nan
        with Store(path) as store:
            store.write([block(T0 + 10, values[:, 150:]), block(T0, values[:, :150])])
        with StoreReader(path) as reader:
            assert reader.channels() == (X, Y)
            for channel, expected in zip((X, Y), values, strict=True):
                times, found = (np.concatenate(parts) for parts in zip(*reader.series(channel), strict=True))
                assert np.array_equal(found, expected, equal_nan=True)
                expected_times = np.concatenate([T0 + np.arange(150) / 30, T0 + 10 + np.arange(150) / 30])
                assert np.abs(times - expected_times).max() < 1e-6

    def test_a_range_of_time_takes_its_first_and_not_its_end(self, path: Path) -> None:
        with Store(path) as store:
            store.write([block(T0, noise(100), 1.0), block(T0 + 100, noise(100), 1.0)])
        with StoreReader(path) as reader:
            times = np.concatenate([part for part, _ in reader.series(X, T0 + 90, T0 + 110)])
            assert list(times - T0) == list(range(90, 110))
            assert list(reader.series(Channel("nowhere", "x"))) == []

    def test_peaks_modes_and_notices(self, path: Path) -> None:
        peak = PeakRecord(T0, X, 2.5, 0.01, 0.3, 0.02)
        unsure = PeakRecord(T0 + 1, Y, 4.0, math.nan, 0.1)
        shape = (ModePoint("midspan", "y", 1.0, 0.0), ModePoint("pier", "y", -0.5, 0.01))
        mode = ModeRecord(T0, "mode 1", 2.5, 0.01, 0.015, 0.99, 21.5, shape)
        notice = Notice(T0, "disk", "previews stopped")
        with Store(path) as store:
            store.write([peak, unsure, mode, ModeRecord(T0, "mode 2", 4.0), notice])
        with StoreReader(path) as reader:
            assert reader.peaks() == (peak, PeakRecord(T0 + 1, Y, 4.0, None, 0.1))
            assert reader.modes() == (mode, ModeRecord(T0, "mode 2", 4.0))
            assert reader.modes(T0 + 1) == ()
            assert reader.notices() == (notice,)

    def test_the_latest_modes_are_those_that_were_written_last_whatever_the_clock_shows(
        self, path: Path
    ) -> None:
        modes = [
            ModeRecord(at, "1", 2.5) for at in (T0, T0 + 86_000, 500.0, 600.0)
        ]  # in 1970, after a battery failed
        with Store(path) as store, StoreReader(path) as reader:
            assert reader.latest_modes(1000.0) == ()
            store.write(modes[:2])
            assert reader.latest_modes(1000.0) == (modes[1],)
            store.write(modes[2:])
            assert reader.latest_modes(1000.0) == tuple(modes[2:])

    def test_an_acknowledgement_is_of_the_latest_raise_by_whatever_clock(self, path: Path) -> None:
        with Store(path) as store, StoreReader(path) as reader:
            store.write([edge("raised", T0), edge("cleared", T0 + 1), edge("raised", 500.0)])
            store.write([Acknowledgement("deck", 510.0, "field")])
            assert [each.acknowledged_s for each in reader.alarms()] == [510.0, None]

    def test_alarms_with_both_edges_and_the_acknowledgement_of_the_latest(self, path: Path) -> None:
        with Store(path) as store:
            store.write([edge("raised", T0), edge("cleared", T0 + 60), edge("raised", T0 + 100)])
            store.write([Acknowledgement("deck", T0 + 110, "ada"), Acknowledgement("deck", T0 + 111, "bob")])
        with StoreReader(path) as reader:
            common = ("deck", "midspan", "rms", "px")
            assert reader.alarms() == (
                Alarm(*common, T0, 1.5, 1.0, T0 + 60),
                Alarm(*common, T0 + 100, 1.5, 1.0, None, T0 + 110, "ada"),
            )
            assert reader.open_alarms() == (OpenAlarm("deck", T0 + 100, T0 + 110),)

    def test_baselines_are_replaced(self, path: Path) -> None:
        with Store(path) as store:
            store.write([LearnedBaseline("deck", Baseline(4.0, 0.01, 100, T0, T0 + 60))])
            store.write([LearnedBaseline("deck", Baseline(4.1, 0.02, 50, T0, T0 + 60))])
        with StoreReader(path) as reader:
            assert reader.baselines() == {"deck": Baseline(4.1, 0.02, 50, T0, T0 + 60)}

    def test_events_with_every_trigger_and_their_clips(self, path: Path) -> None:
        first = EventRecord("e1", T0, "deck raised", "deck", T0)
        again = EventRecord("e1", T0 + 3, "by hand")
        saved = Clip("e1", "raw", "e1-raw.mp4", "saved", T0 - 5, T0 + 8, 390, 1, 123_456)
        with Store(path) as store:
            store.write([first, Clip("e1", "raw", "e1-raw.mp4", "recording"), again])
            store.write([saved])
        with StoreReader(path) as reader:
            assert reader.events() == (first, again)
            assert reader.clips() == (saved,)

    def test_a_batch_that_is_repeated_changes_nothing(self, path: Path) -> None:
        clip = Clip("e1", "raw", "e1-raw.mp4", "recording")
        batch = [edge("raised", T0), EventRecord("e1", T0, "deck", "deck", T0), clip, edge("cleared", T0 + 9)]
        with Store(path) as store, StoreReader(path) as reader:
            store.write(batch)
            before = (reader.alarms(), reader.events(), reader.clips())
            store.write(batch)
            assert (reader.alarms(), reader.events(), reader.clips()) == before

    def test_a_lost_cleared_edge_does_not_keep_the_next_raise_out(self, path: Path) -> None:
        with Store(path) as store, StoreReader(path) as reader:
            store.write([edge("raised", T0), edge("raised", T0 + 50)])
            assert [(alarm.raised_s, alarm.cleared_s) for alarm in reader.alarms()] == [
                (T0, T0 + 50),
                (T0 + 50, None),
            ]

    def test_a_new_scale_is_a_new_channel(self, path: Path) -> None:
        other = Channel("midspan", "x", mm_per_px=0.6)
        unscaled = Channel("midspan", "x")
        with Store(path) as store, StoreReader(path) as reader:
            for number, channel in enumerate((X, other, unscaled, X, unscaled)):
                store.write([SeriesBlock((channel,), np.array([T0 + number]), noise(1)[:1])])
            assert reader.channels() == (X, other, unscaled)
            assert [len(list(reader.series(channel))) for channel in (X, other, unscaled)] == [2, 1, 2]


class TestSummaries:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        cuts=st.lists(st.integers(1, 199), max_size=6, unique=True),
        lost=st.lists(st.integers(0, 199), max_size=60),
        rate_hz=st.sampled_from([0.05, 1.0, 7.3]),
    )
    def test_they_do_not_depend_on_how_the_samples_came_in_blocks(
        self, tmp_path_factory: pytest.TempPathFactory, cuts: list[int], lost: list[int], rate_hz: float
    ) -> None:
        values = noise(200) + np.float32(5)
        values[0, lost] = np.nan
        times = T0 + np.arange(200) / rate_hz
        path = tmp_path_factory.mktemp("store") / "s.db"
        with Store(path) as store, StoreReader(path) as reader:
            for part in np.split(np.arange(200), sorted(cuts)):
                store.write([SeriesBlock((X, Y), times[part], values[:, part])])
            for period_s in (60, 3600):
                found = reader.summaries(X, period_s)
                starts = np.floor(times / period_s).astype(int) * period_s
                assert [summary.start_s for summary in found] == sorted(set(starts.tolist()))
                for summary in found:
                    inside = values[0, starts == summary.start_s].astype(np.float64)
                    known = inside[~np.isnan(inside)]
                    assert (summary.samples, summary.lost) == (known.size, inside.size - known.size)
                    figures = [summary.minimum, summary.maximum, summary.mean, summary.rms]
                    expected = (
                        [known.min(), known.max(), known.mean(), math.sqrt((known**2).mean())]
                        if known.size
                        else [math.nan] * 4
                    )
                    assert figures == pytest.approx(expected, rel=1e-9, nan_ok=True)

    def test_a_sample_beyond_all_bounds_counts_as_lost(self, path: Path) -> None:
        values = np.array([[1.0, np.inf, -np.inf, 3.0]], np.float32)
        with Store(path) as store, StoreReader(path) as reader:
            store.write([SeriesBlock((X,), T0 + np.arange(4.0), values)])
            assert [(s.samples, s.lost, s.mean) for s in reader.summaries(X, 3600)] == [(2, 2, 2.0)]


class TestBlocks:
    @pytest.mark.parametrize(
        ("times", "message"),
        [
            ([1.0, 1.0], "times in a block must advance"),
            ([2.0, 1.0], "times in a block must advance"),
            ([1.0, math.nan], "finite times"),
            ([], "at least one sample"),
        ],
    )
    def test_what_cannot_be_is_refused(self, times: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            SeriesBlock((X,), np.array(times), np.zeros((1, len(times)), np.float32))

    def test_values_must_fit(self) -> None:
        with pytest.raises(ValueError, match=r"values of \(1, 3\) for 2 channels at \(3,\) times"):
            SeriesBlock((X, Y), np.arange(3.0), np.zeros((1, 3), np.float32))

    def test_the_collector_cuts_by_time_and_by_number(self) -> None:
        collector = SeriesCollector([X, Y], block_s=1.0, most_samples=4)
        blocks = [collector.add(time_s, [time_s, 0]) for time_s in (0.0, 0.5, 1.0, 1.1, 1.2, 1.3, 1.4)]
        cut = [list(block.times_s) for block in blocks if block]
        assert cut == [[0.0, 0.5], [1.0, 1.1, 1.2, 1.3]]
        last = collector.flush()
        assert last is not None
        assert last.values.tolist() == [[np.float32(1.4)], [0.0]]
        assert collector.flush() is None

    def test_time_that_runs_backwards_begins_a_block_and_loses_nothing(self, path: Path) -> None:
        collector = SeriesCollector([X], block_s=100.0)
        times = [10.0, 11.0, 11.0, 5.0, 6.0, math.nan, 7.0]
        blocks = [collector.add(time_s, [0.0]) for time_s in times]
        blocks.append(collector.flush())
        assert [list(block.times_s) for block in blocks if block] == [[10.0, 11.0], [11.0], [5.0, 6.0, 7.0]]
        assert (collector.backward_steps, collector.undated) == (2, 1)
        with Store(path) as store, StoreReader(path) as reader:
            store.write([block for block in blocks if block])
            assert [list(times) for times, _ in reader.series(X)] == [[5.0, 6.0, 7.0], [10.0, 11.0], [11.0]]


class TestTransactions:
    def test_a_failure_in_the_middle_stores_nothing(self, path: Path) -> None:
        with Store(path) as store, StoreReader(path) as reader:
            broken = Notice(T0, "topic", None)  # type: ignore[arg-type]
            with pytest.raises(sqlite3.IntegrityError):
                store.write([block(T0, noise(10)), edge("raised", T0), broken])
            assert (reader.channels(), reader.alarms()) == ((), ())
            store.write([block(T0, noise(10)), edge("raised", T0)])  # the channel is known to be unknown
            assert len(reader.channels()) == 2

    def test_commits_wait_for_the_disk_and_go_through_the_log(self, path: Path) -> None:
        with Store(path) as store, store.transaction() as connection:
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
            assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)  # incremental

    @pytest.mark.parametrize("seed", range(8))
    def test_a_log_that_is_torn_anywhere_loses_only_what_was_not_committed_by_then(
        self, path: Path, tmp_path: Path, seed: int
    ) -> None:
        log, sizes = path.with_name(path.name + "-wal"), []
        with Store(path) as store:
            for number in range(40):
                store.write([block(T0 + 10 * number, noise(30, number)), edge("raised", T0 + number)])
                sizes.append(log.stat().st_size)
            torn = tmp_path / "torn.db"
            torn.write_bytes(path.read_bytes())
            cut = int(np.random.default_rng(seed).integers(0, sizes[-1]))
            torn.with_name("torn.db-wal").write_bytes(log.read_bytes()[:cut])
        committed = sum(size <= cut for size in sizes)
        with Store(torn) as store, StoreReader(torn) as reader:
            store.check()
            assert len(reader.alarms()) == committed
            if committed:
                assert len(list(reader.series(X))) == committed

    def test_readers_see_every_commit_at_once_and_never_half_of_one(self, path: Path) -> None:
        stop, seen = threading.Event(), []

        def watch() -> None:
            with StoreReader(path) as reader:
                while not stop.is_set():
                    seen.append(len(reader.alarms()))

        with Store(path) as store:
            watcher = threading.Thread(target=watch)
            watcher.start()
            for number in range(100):
                store.write([edge("raised", T0 + 2 * number), edge("cleared", T0 + 2 * number + 1)] * 1)
                store.write([edge("raised", T0 + number / 7, f"other {n}") for n in range(4)])
            stop.set()
            watcher.join()
        assert seen == sorted(seen)


class TestOneWriter:
    def test_a_second_one_is_refused_and_readers_are_not(self, path: Path) -> None:
        with Store(path) as store:
            store.write([Notice(T0, "topic", "text")])
            with pytest.raises(StoreBusyFault, match=r"another tremorscope writes to it: stop that one"):
                Store(path)
            with StoreReader(path) as reader:
                assert len(reader.notices()) == 1
        Store(path).close()

    def test_another_process_is_refused_and_the_lock_dies_with_its_owner(self, path: Path) -> None:
        code = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r})\n"
            "from pathlib import Path; from tremorscope.runtime.store.store import Store\n"
            f"store = Store(Path({str(path)!r})); print('open', flush=True); sys.stdin.read()"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == "open\n"
            with pytest.raises(StoreBusyFault):
                Store(path)
            other.kill()
            other.wait()
        Store(path).close()


class TestVersions:
    def test_a_newer_store_is_refused_untouched(self, path: Path) -> None:
        Store(path, migrations=(*MIGRATIONS, "CREATE TABLE later (x INTEGER)")).close()
        before = path.read_bytes()
        for opening in (Store, StoreReader):
            with pytest.raises(
                StoreFault,
                match=rf"newer tremorscope \(store version {len(MIGRATIONS) + 1}, this one knows {len(MIGRATIONS)}\)",
            ):
                opening(path)
        assert path.read_bytes() == before
        with pytest.raises(StoreFault, match="newer"):
            open_or_set_aside(path, "now")  # never set aside: it is sound

    def test_an_older_store_is_brought_forward_with_its_content(self, path: Path) -> None:
        with Store(path) as store:
            store.write([edge("raised", T0)])
        newer = (*MIGRATIONS, "ALTER TABLE alarm ADD COLUMN note TEXT; CREATE TABLE later (x INTEGER)")
        with Store(path, migrations=newer) as store, store.transaction() as connection:
            assert connection.execute("SELECT name, note FROM alarm").fetchall() == [("deck", None)]
            assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)

    def test_a_store_of_version_1_takes_what_is_being_learned(self, path: Path) -> None:
        baseline = LearnedBaseline("deck", Baseline(4.0, 0.01, 100, T0, T0 + 60))
        with Store(path, migrations=MIGRATIONS[:1]) as store, store.transaction() as connection:
            connection.execute("INSERT INTO baseline VALUES ('deck', 4.0, 0.01, 100, ?, ?)", (T0, T0 + 60))
        learning = Learning("first", (4.0, 4.1), 2, 4, 180.0, T0, T0 + 200)
        with Store(path) as store, StoreReader(path) as reader:
            assert reader.baselines() == {"deck": baseline.baseline}
            store.write([LearningBaseline("deck", learning), LearningBaseline("deck", learning)])
            assert (reader.learnings(), reader.baselines()) == ({"deck": learning}, {})
            store.write([baseline])
            assert (reader.learnings(), reader.baselines()) == ({}, {"deck": baseline.baseline})

    def test_a_migration_that_fails_changes_nothing(self, path: Path) -> None:
        Store(path).close()
        with pytest.raises(StoreFault):
            Store(path, migrations=(*MIGRATIONS, "CREATE TABLE later (x INTEGER); CREATE TABLE alarm (x)"))
        with Store(path) as store, store.transaction() as connection:
            assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
            assert "later" not in tables

    def test_the_file_is_marked_as_ours(self, path: Path) -> None:
        Store(path).close()
        assert int.from_bytes(path.read_bytes()[68:72], "big") == APPLICATION_ID

    def test_a_database_of_another_program_is_refused_untouched(self, path: Path) -> None:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE theirs (x)")
        other.close()
        before = path.read_bytes()
        for opening in (Store, StoreReader):
            with pytest.raises(StoreFault, match="is a database of another program: name another file"):
                opening(path)
        assert path.read_bytes() == before


class TestDamage:
    def filled(self, path: Path) -> bytes:
        with Store(path) as store:
            for number in range(20):
                store.write([block(T0 + 10 * number, noise(300, number))])
        return path.read_bytes()

    @pytest.mark.parametrize("content", [b"not a database at all" * 500, b"\0" * 8192])
    def test_what_is_no_store_is_refused(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(StoreDamagedFault, match=r"damaged \(file is not a database\): set it aside"):
            Store(path)
        assert path.read_bytes() == content

    @pytest.mark.parametrize("seed", range(10))
    def test_overwritten_pages_are_found_on_opening(self, path: Path, seed: int) -> None:
        data = bytearray(self.filled(path))
        rng = np.random.default_rng(seed)
        page = 4096 * int(rng.integers(1, 12))  # the tables' own pages
        data[page : page + 4096] = rng.bytes(4096)
        path.write_bytes(data)
        with pytest.raises(StoreDamagedFault, match="damaged"):
            Store(path)

    def test_a_file_that_was_cut_is_found_on_opening(self, path: Path) -> None:
        data = self.filled(path)
        path.write_bytes(data[: len(data) // 2])
        with pytest.raises(StoreDamagedFault, match="damaged"):
            Store(path)

    def test_a_service_keeps_the_damaged_one_and_starts_anew(self, path: Path) -> None:
        data = self.filled(path)[:20_000]
        path.write_bytes(data)
        store, kept = open_or_set_aside(path, "20261122T120000Z")
        with store, StoreReader(path) as reader:
            assert reader.channels() == ()
        assert kept == path.with_name("tremorscope.db.damaged-20261122T120000Z")
        assert kept.read_bytes() == data

    def test_what_is_sound_in_the_damaged_one_is_known_still(self, path: Path) -> None:
        baseline = Baseline(2.5, 0.01, 900, T0, T0 + 86_400)
        with Store(path) as store:
            store.write([edge("raised", T0), LearnedBaseline("shift", baseline)])
            store.write([block(T0 + 10 * number, noise(300, number)) for number in range(20)])
        data = bytearray(path.read_bytes())
        data[-40_000:] = np.random.default_rng(0).bytes(40_000)
        path.write_bytes(data)
        store, kept = open_or_set_aside(path, "now")
        store.close()
        assert kept is not None
        opened, baselines, learnings = salvage(kept)
        assert ([each.name for each in opened], baselines, learnings) == (["deck"], {"shift": baseline}, {})
        kept.write_bytes(bytes(data[:4096]) + bytes(len(data) - 4096))
        assert salvage(kept) == ((), {}, {})

    def test_a_sound_one_is_not_set_aside(self, path: Path) -> None:
        self.filled(path)
        store, kept = open_or_set_aside(path, "now")
        with store, StoreReader(path) as reader:
            assert kept is None
            assert len(reader.channels()) == 2

    def test_an_empty_file_is_a_new_store(self, path: Path) -> None:
        path.touch()
        Store(path).close()

    def test_random_bytes_never_cause_a_traceback(self, path: Path) -> None:
        whole, rng = self.filled(path), np.random.default_rng(0)
        for _ in range(60):
            data = bytearray(whole)
            for _ in range(int(rng.integers(1, 40))):
                data[int(rng.integers(0, len(data)))] = int(rng.integers(0, 256))
            path.write_bytes(data[: int(rng.integers(1, len(data) + 1))])
            with suppress(StoreFault):
                use(path)


def use(path: Path) -> None:
    with Store(path) as store:
        store.write([block(T0 + 1e6, noise(30))])
    with StoreReader(path) as reader:
        for channel in reader.channels():
            list(reader.series(channel))


def fill(store: Store) -> int:
    """Write blocks until the disk is full; how many."""
    count = 0
    with suppress(StoreFullFault):
        while True:
            store.write([block(T0 + 10 * count, noise(300, count))])
            count += 1
    return count


def fill_with_bytes(path: Path) -> None:
    with path.open("wb") as filler, suppress(OSError):
        while True:
            os.write(filler.fileno(), bytes(4096))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mount_small_disk(tmp_path, "size=8m")
    yield tmp_path
    unmount(tmp_path)


class TestDisks:
    def test_a_full_disk_is_a_fault_that_passes_and_nothing_committed_is_lost(self, disk: Path) -> None:
        path = disk / "s.db"
        with Store(path) as store:
            committed = fill(store)
            assert committed > 200
            with pytest.raises(
                StoreFullFault, match="the disk is full: free some space; what was committed is kept"
            ):
                store.write([block(T0 + 1e5, noise(3000))])
            with StoreReader(path) as reader:
                assert len(list(reader.series(X))) == committed
            subprocess.run(["mount", "-o", "remount,size=12m", str(disk)], check=True)
            store.write([block(T0 + 1e6, noise(300))])
            store.check()
        with Store(path) as store, StoreReader(path) as reader:
            assert len(list(reader.series(X))) == committed + 1

    def test_a_store_is_opened_on_a_full_disk_by_giving_up_the_reserve(self, disk: Path) -> None:
        path, reserve = disk / "s.db", Reserve(disk / "reserve", 256 * 1024)
        with Store(path) as store:
            store.write([edge("raised", T0)])
        assert reserve.hold()
        fill_with_bytes(disk / "filler")
        with pytest.raises(StoreFullFault):
            Store(path)
        store, kept = open_or_set_aside(path, "now", reserve)
        with store, StoreReader(path) as reader:
            store.write([edge("cleared", T0 + 5)])
            assert kept is None
            assert reader.open_alarms() == ()
        assert not reserve.is_held
        assert not reserve.hold()  # there is no room for it

    def test_a_read_only_disk_is_refused_for_writing_and_read_as_it_lies(self, disk: Path) -> None:
        path = disk / "s.db"
        with Store(path) as store:
            store.write([Notice(T0, "topic", "text")])
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(
            StoreFault, match=r"cannot be written \(read-only file system\): put the store on a disk"
        ):
            Store(path)
        with StoreReader(path) as reader:
            assert reader.notices() == (Notice(T0, "topic", "text"),)

    def test_a_log_on_a_read_only_disk_is_not_passed_over_in_silence(self, disk: Path) -> None:
        path = disk / "s.db"
        with Store(path) as store:
            store.write([Notice(T0, "topic", "text")])
            copied = {suffix: (disk / f"s.db{suffix}").read_bytes() for suffix in ("", "-wal")}
        for suffix, data in copied.items():
            (disk / f"cut.db{suffix}").write_bytes(data)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with pytest.raises(StoreFault, match=r"its log cannot be opened .* copy cut.db and cut.db-wal"):
            StoreReader(disk / "cut.db")

    def test_a_disk_that_becomes_read_only_is_a_fault(self, disk: Path) -> None:
        path = disk / "s.db"
        store = Store(path)
        store.write([Notice(T0, "topic", "text")])
        store.close()
        other = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        other.close()
        store = Store(path)
        try:
            with store.transaction() as connection:
                connection.execute("PRAGMA query_only = ON")
            with pytest.raises(StoreFault, match="cannot be written"):
                store.write([Notice(T0, "topic", "text")])
        finally:
            store.close()


def test_a_missing_directory_and_a_directory_are_told(tmp_path: Path) -> None:
    with pytest.raises(StoreFault, match=r"there is no directory .*: make the directory first"):
        Store(tmp_path / "none" / "s.db")
    with pytest.raises(StoreFault, match="is a directory: name a file for the store"):
        Store(tmp_path)
    with pytest.raises(StoreFault, match="no such store: check the path"):
        StoreReader(tmp_path / "none.db")


def test_signs_in_the_name_that_mean_something_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "a?b#c%20d.db"
    with Store(path) as store:
        store.write([Notice(T0, "topic", "text")])
    with StoreReader(path) as reader:
        assert len(reader.notices()) == 1
    assert file_bytes(path) > 4096
