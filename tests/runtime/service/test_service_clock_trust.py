"""Whether the device's clock can be believed, and that nothing is lost by one that is set."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.service import clock_trust
from tremorscope.runtime.service.clock_trust import ClockTrust, is_synchronised
from tremorscope.runtime.service.storing import Storage
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Channel, ClockJump, SeriesBlock
from tremorscope.runtime.store.reserve import Reserve
from tremorscope.runtime.store.settings import StoreSettings

X = Channel("midspan", "x")
DAY_S = 86_400.0


class Clocks:
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
    clocks = Clocks(unix_s=20.0)
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
    clocks = Clocks()
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
    clocks = Clocks()
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

    monkeypatch.setattr(clock_trust.ctypes, "CDLL", lambda *_args, **_more: Kernel())
    assert is_synchronised() is found


def test_the_real_kernel_answers() -> None:
    assert is_synchronised() in (True, False)


class TestStorage:
    def storage(self, directory: Path, clocks: Clocks) -> Storage:
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
        store = storage._store
        assert store is not None
        storage._housekeeper.run(store, Reserve(storage.directory / ".reserve", 0))

    @pytest.mark.parametrize("unix_s", [20.0, 1.79e9])
    def test_keeps_its_series_over_a_jump_and_tells_it(self, unix_s: float, tmp_path: Path) -> None:
        clocks = Clocks(unix_s)
        clocks.synchronised = True
        kept = self.storage(tmp_path, clocks)
        store = kept._store
        assert store is not None
        store.write([self.block(unix_s - 100.0)])
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
        clocks = Clocks(unix_s=20.0)
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
