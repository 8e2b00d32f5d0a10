"""Writing behind the loop over frames: nothing waits, memory is bounded, and what is vital is kept."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from support import mount_small_disk, unmount

from tremorscope.runtime.store.background import BackgroundStore, StoreUpkeep
from tremorscope.runtime.store.disk import Reserve
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, Notice, PeakRecord, SeriesBlock
from tremorscope.runtime.store.sqlite_file import StoreFault
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge

T0 = 1_793_000_000.0
X = Channel("midspan", "x")


def block(number: int, samples: int = 100) -> SeriesBlock:
    values = np.random.default_rng(number).standard_normal((1, samples)).astype(np.float32)
    return SeriesBlock((X,), T0 + 10 * number + np.arange(samples) / 100, values)


def raised(number: int) -> AlarmEdge:
    return AlarmEdge(f"alarm {number}", "midspan", "rms", "raised", T0 + number, T0, 1.5, 1.0, "px")


def wait_until(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "s.db") as opened:
        yield opened


class Stuck:
    """Holds the store's lock, as a disk does that hangs."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._release = threading.Event()
        self._held = threading.Event()
        self._thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with self._store.transaction():
            self._held.set()
            self._release.wait(30)

    def __enter__(self) -> None:
        self._thread.start()
        self._held.wait()

    def __exit__(self, *_: object) -> None:
        self._release.set()
        self._thread.join()


def test_everything_that_was_offered_is_written_when_it_is_closed(store: Store) -> None:
    background = BackgroundStore(store, most_bulk=400)
    for number in range(200):
        background.offer(block(number))
        background.offer(raised(number))
        background.offer(PeakRecord(T0, X, 2.5, 0.1, 1.0))
    state = background.close(timeout_s=60)
    assert (state.written, state.pending, state.trouble, state.running) == (600, 0, "", False)
    with StoreReader(store.path) as reader:
        assert len(list(reader.series(X))) == len(reader.alarms()) == len(reader.peaks()) == 200


def test_offering_never_waits_for_the_disk_and_memory_is_bounded(store: Store) -> None:
    background = BackgroundStore(store, most_bulk=10, most_vital=1000)
    slowest_s = 0.0
    with Stuck(store):
        for number in range(500):
            begun_s = time.perf_counter()
            background.offer(block(number))
            background.offer(raised(number))
            slowest_s = max(slowest_s, time.perf_counter() - begun_s)
        state = background.state()
        assert (state.dropped_bulk, state.dropped_vital) == (490, 0)
        assert state.pending == 510
    assert slowest_s < 5  # the disk hangs for 30 s
    background.close(timeout_s=60)
    with StoreReader(store.path) as reader:
        # The newest win; those of the first moments may have been on their way already.
        starts = [float(times[0]) for times, _ in reader.series(X)]
        assert starts[-10:] == [T0 + 10 * number for number in range(490, 500)]
        assert len(reader.alarms()) == 500


def test_vital_records_are_bounded_too_and_their_loss_is_counted(store: Store) -> None:
    background = BackgroundStore(store, most_vital=50)
    with Stuck(store):
        for number in range(80):
            background.offer(raised(number))
        assert background.state().dropped_vital == 30
    background.close(timeout_s=60)
    with StoreReader(store.path) as reader:
        assert {alarm.name for alarm in reader.alarms()} >= {f"alarm {number}" for number in range(30, 80)}


def test_the_disk_guard_s_last_step_declines_series_but_no_alarms(store: Store) -> None:
    background = BackgroundStore(store)
    background.accept_bulk(False)
    for number in range(5):
        background.offer(block(number))
        background.offer(raised(number))
    background.accept_bulk(True)
    background.offer(block(7))
    assert background.close().declined_bulk == 5
    with StoreReader(store.path) as reader:
        assert (len(list(reader.series(X))), len(reader.alarms())) == (1, 5)


def test_the_house_is_kept_and_its_troubles_are_told(store: Store) -> None:
    calls: list[float] = []

    def keep() -> None:
        calls.append(time.monotonic())
        if len(calls) == 2:
            raise StoreFault("the disk failed", remedy="check it")

    background = BackgroundStore(store, upkeep=StoreUpkeep(lambda _: keep(), every_s=0.05))
    wait_until(lambda: background.state().trouble == "the disk failed: check it")
    wait_until(lambda: len(calls) > 4 and not background.state().trouble)
    background.close(timeout_s=60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    mount_small_disk(tmp_path, "size=8m")
    yield tmp_path
    unmount(tmp_path)


def test_on_a_full_disk_alarms_are_written_into_the_reserve_and_series_wait(disk: Path) -> None:
    reserve = Reserve(disk / "reserve", 1 << 20)
    with Store(disk / "s.db") as store, StoreReader(store.path) as reader:
        background = BackgroundStore(store, reserve=reserve, upkeep=StoreUpkeep(every_s=0.05))
        wait_until(lambda: reserve.is_held)
        with (disk / "filler").open("wb") as filler, suppress(OSError):
            while True:
                os.write(filler.fileno(), bytes(4096))
        background.offer(block(0, samples=2000))
        wait_until(lambda: "the disk is full" in background.state().trouble)
        for number in range(20):
            background.offer(raised(number))
        wait_until(lambda: len(reader.alarms()) == 20)
        assert not reserve.is_held
        (disk / "filler").unlink()
        wait_until(lambda: background.state().pending == 0)
        wait_until(lambda: not background.state().trouble)
        wait_until(lambda: reserve.is_held)  # and it is set aside again
        assert len(list(reader.series(X))) == 1
        background.close()


def test_closing_on_a_full_disk_gives_up_in_time_and_says_what_is_left(disk: Path) -> None:
    with Store(disk / "s.db") as store:
        background = BackgroundStore(store)
        with (disk / "filler").open("wb") as filler, suppress(OSError):
            while True:
                os.write(filler.fileno(), bytes(4096))
        for number in range(10):
            background.offer(block(number, samples=2000))
        begun_s = time.monotonic()
        state = background.close(timeout_s=5.0)
        assert time.monotonic() - begun_s < 5
        assert state.pending == 10
        assert "the disk is full" in state.trouble


def test_a_mistake_in_the_program_is_seen(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    background = BackgroundStore(store)
    assert background.state().running
    background.offer(Notice(T0, "topic", None))  # type: ignore[arg-type]
    wait_until(lambda: not background.state().running)
