"""From the camera's time to Unix time: evenly, and right in the long run.

Whether the device's clock can be believed, and that nothing is lost by one that is set.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.service import clock
from tremorscope.runtime.service.clock import ClockTrust, UnixClock, is_synchronised
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.disk import Reserve
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, ClockJump, SeriesBlock
from tremorscope.runtime.store.settings import StoreSettings


class Clocks:
    """A system's clock, and the camera's beside it."""

    def __init__(self) -> None:
        self.unix_s, self.monotonic_s = 1.7e9, 50.0
        self.clock = UnixClock(unix_clock=lambda: self.unix_s, clock=lambda: self.monotonic_s)

    def pass_on(self, seconds: float) -> None:
        self.unix_s += seconds
        self.monotonic_s += seconds


def test_frames_keep_their_intervals_however_late_they_are_looked_at() -> None:
    clocks, rng, found = Clocks(), np.random.default_rng(1), []
    for number in range(3000):
        clocks.pass_on(1 / 30)
        arrived_s = clocks.monotonic_s
        late_s = rng.uniform(0, 0.2)
        clocks.pass_on(late_s)
        found.append(clocks.clock.take(number / 30, arrived_s))
        clocks.pass_on(-late_s)
    assert np.abs(np.diff(found) - 1 / 30).max() < 1e-6
    assert found[-1] == pytest.approx(1.7e9 + 3000 / 30, abs=0.001)


@given(drift=st.floats(-8e-5, 8e-5))
@settings(max_examples=20, deadline=None)
def test_a_camera_that_drifts_is_followed(drift: float) -> None:
    """80 ppm are seven seconds a day; the mapping stays within 5 ms of the system's clock."""
    clocks = Clocks()
    found = 0.0
    for number in range(20_000):
        clocks.pass_on(0.1)
        found = clocks.clock.take(number * 0.1 * (1 + drift), clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.005)
    assert clocks.clock.steps == 0


def test_intervals_change_by_no_more_than_a_ten_thousandth_while_half_a_second_is_made_up_for() -> None:
    clocks, found = Clocks(), []
    for number in range(1000):
        clocks.pass_on(0.1)
        found.append(clocks.clock.take(number / 10, clocks.monotonic_s))
    clocks.unix_s += 0.5
    for number in range(1000, 100_000):
        clocks.pass_on(0.1)
        found.append(clocks.clock.take(number / 10, clocks.monotonic_s))
    assert np.abs(np.diff(found) / 0.1 - 1).max() <= 1.05e-4  # and what a float64 of Unix time rounds
    assert found[-1] == pytest.approx(clocks.unix_s, abs=0.001)
    assert clocks.clock.steps == 0


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 1e8])
def test_a_clock_that_was_set_is_followed_at_once_and_counted(step_s: float) -> None:
    clocks = Clocks()
    for number in range(200):
        if number == 100:
            clocks.unix_s += step_s
        clocks.pass_on(0.1)
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.01)
    assert clocks.clock.steps == 1
    assert clocks.clock.set_by_s == pytest.approx(step_s, abs=1e-3)
    # What alarms are judged by has not noticed.
    assert clocks.clock.steady_s == pytest.approx(clocks.monotonic_s, abs=0.001)


def test_a_camera_that_falls_behind_is_followed_and_the_systems_clock_not_blamed() -> None:
    """A replayed clip on a device with too much to do: its time stands still meanwhile."""
    clocks = Clocks()
    for number in range(400):
        if number in (100, 200):
            clocks.pass_on(3.0)
        clocks.pass_on(0.1)
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.01)
    assert clocks.clock.steps == 0


def test_one_late_frame_is_no_step() -> None:
    clocks = Clocks()
    for number in range(200):
        clocks.pass_on(0.1)
        clocks.unix_s += 30.0 if number == 100 else -30.0 if number == 101 else 0.0
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert clocks.clock.steps == 0
    assert found == pytest.approx(clocks.unix_s, abs=0.001)


X = Channel("midspan", "x")
DAY_S = 86_400.0


class DeviceClocks:
    """A device's clock and the monotonic one beside it."""

    def __init__(self, unix_s: float = 1.79e9) -> None:
        self.unix_s, self.steady_s, self.synchronised = unix_s, 50.0, False

    def trust(self) -> ClockTrust:
        return ClockTrust(
            unix_clock=lambda: self.unix_s,
            clock=lambda: self.steady_s,
            synchronised=lambda: self.synchronised,
        )

    def pass_on(self, seconds: float) -> None:
        self.unix_s += seconds
        self.steady_s += seconds


def test_a_boot_in_1970_is_believed_once_it_is_synchronised_and_its_jump_is_told() -> None:
    clocks = DeviceClocks(unix_s=20.0)
    trust = clocks.trust()
    assert (trust.look(), trust.trusted) == (None, False)
    clocks.pass_on(600.0)
    assert (trust.look(), trust.trusted) == (None, False)
    clocks.pass_on(60.0)
    clocks.unix_s, clocks.synchronised = 1.79e9, True
    assert trust.look() == ClockJump(680.0 + 30.0, 1.79e9)
    assert trust.trusted
    clocks.pass_on(9 * 3600.0)
    clocks.synchronised = False  # the time server is gone: the clock runs on as it was
    assert (trust.look(), trust.trusted) == (None, True)


@pytest.mark.parametrize("set_by_s", [DAY_S, -DAY_S, -61.0])
def test_a_clock_that_was_set_by_hand_must_rest_for_a_day(set_by_s: float) -> None:
    clocks = DeviceClocks()
    clocks.synchronised = True
    trust = clocks.trust()
    trust.look()
    assert trust.trusted
    clocks.unix_s += set_by_s
    clocks.synchronised = False
    assert (trust.look() is not None) == (set_by_s > 0)
    assert not trust.trusted
    for _ in range(23):
        clocks.pass_on(3600.0)
        assert (trust.look(), trust.trusted) == (None, False)
    clocks.pass_on(3600.0)
    assert (trust.look(), trust.trusted) == (None, True)


def test_what_a_time_server_corrects_is_no_jump() -> None:
    clocks = DeviceClocks()
    clocks.synchronised = True
    trust = clocks.trust()
    for _ in range(1000):
        clocks.pass_on(60.0)
        clocks.unix_s += 5.0  # as fast as chrony ever does
        assert (trust.look(), trust.trusted) == (None, True)


@pytest.mark.parametrize(("status", "answer", "found"), [(0x2001, 0, True), (0x40, 5, False), (0, -1, False)])
def test_the_kernel_is_asked_and_may_refuse(
    status: int, answer: int, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Kernel:
        def adjtimex(self, timex: ctypes.Array[ctypes.c_char]) -> int:
            assert ctypes.c_int.from_buffer(timex, 0).value == 0  # reads only
            ctypes.c_int.from_buffer(timex, 40).value = status
            return answer

    monkeypatch.setattr(clock.ctypes, "CDLL", lambda *_args, **_more: Kernel())
    assert is_synchronised() is found


def test_the_real_kernel_answers() -> None:
    assert is_synchronised() in (True, False)


class TestStorage:
    def storage(self, directory: Path, clocks: DeviceClocks) -> Storage:
        settings = StoreSettings.model_validate({"directory": directory, "reserve_mb": 1})
        return Storage(
            settings,
            None,
            clock=lambda: clocks.steady_s,
            unix_clock=lambda: clocks.unix_s,
            trust=clocks.trust(),
        )

    def block(self, start_s: float) -> SeriesBlock:
        return SeriesBlock((X,), start_s + np.arange(10.0), np.ones((1, 10), np.float32))

    def keep_house(self, storage: Storage) -> None:
        assert storage._background is not None
        storage._housekeeper.run(storage._background.store, Reserve(storage.directory / ".reserve", 0))

    @pytest.mark.parametrize("unix_s", [20.0, 1.79e9])
    def test_keeps_its_series_over_a_jump_and_tells_it(self, unix_s: float, tmp_path: Path) -> None:
        clocks = DeviceClocks(unix_s)
        clocks.synchronised = True
        kept = self.storage(tmp_path, clocks)
        assert kept._background is not None
        kept._background.store.write([self.block(unix_s - 100.0)])
        clocks.pass_on(60.0)
        self.keep_house(kept)
        clocks.unix_s += 1e8
        self.keep_house(kept)
        clocks.pass_on(60.0)
        self.keep_house(kept)
        assert kept.close(5.0) == ""
        with StoreReader(kept.path) as reader:
            assert len(list(reader.series(X))) == 1
            texts = [notice.text for notice in reader.notices() if notice.topic == "clock"]
        assert texts == ["the clock was set forward by 99999970 s: nothing has become older by it"]

    def test_a_clock_that_was_set_between_two_processes_deletes_nothing(self, tmp_path: Path) -> None:
        clocks = DeviceClocks(unix_s=20.0)
        first = self.storage(tmp_path, clocks)
        first.offer(self.block(30.0))
        assert first.close(5.0) == ""
        clocks.unix_s, clocks.synchronised = 1.79e9, True
        second = self.storage(tmp_path, clocks)
        self.keep_house(second)
        with StoreReader(second.path) as reader:
            assert len(list(reader.series(X))) == 1
            clocks.pass_on(7.1 * DAY_S)
            self.keep_house(second)
            assert list(reader.series(X)) == []
        assert second.close(5.0) == ""
