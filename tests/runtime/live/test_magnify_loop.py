"""The magnifying half of the live loop shows every frame, times it, and keeps none."""

from __future__ import annotations

import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.live.magnify_loop import HELD, MagnifyLoop
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, Magnifier
from tremorscope.runtime.telemetry.load import resident_bytes

WIDTH, HEIGHT = 8, 4
RATE_HZ = 50.0


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Frames:
    """A source whose frames are filled with their number, modulo 251."""

    def __init__(self, slots: int) -> None:
        self.ring = LeasingRing(slots, width_px=WIDTH, height_px=HEIGHT)
        self.scribbles = False
        self.infos: Iterator[FrameInfo] = (FrameInfo(n, n / RATE_HZ) for n in range(1 << 40))

    def take(self, timeout_s: float) -> Lease | None:  # noqa: ARG002
        info = next(self.infos, None)
        if info is None:
            return None
        if self.scribbles:  # into every free slot: who still reads one of them gets nonsense
            for free in [self.ring.acquire("the test") for _ in range(self.ring.free)]:
                assert free is not None
                free.pixels[:] = 252
                free.release()
        lease = self.ring.acquire("the test's camera")
        assert lease is not None, f"no free slot: {self.ring.holders}"
        lease.pixels[:] = info.sequence % 251
        lease.seal(info)
        return lease


class Inverter:
    """A magnifier whose picture is the frame's negative."""

    settling_left_s = 0.0

    def __init__(self) -> None:
        self.steps = self.restarts = 0
        self.on_step: Callable[[], None] = lambda: None

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:  # noqa: ARG002
        self.on_step()
        np.subtract(255, frame, out=magnified)
        self.steps += 1

    def restart(self) -> None:
        self.restarts += 1

    def lines(self) -> list[str]:
        return []


class Adder:
    """An engine whose picture is the frame plus its reference, modulo 256: it tells which reference it got."""

    width_px, height_px = WIDTH, HEIGHT

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,  # noqa: ARG002
        magnified: NDArray[np.uint8],
    ) -> None:
        np.add(frame, reference, out=magnified)


class Stage:
    """A loop over test frames that shows what it makes to a list, with the rings that it needs and no more."""

    def __init__(self, *, magnifier: FrameMagnifier | None = None, kept: int = 1) -> None:
        """``kept`` pictures are held by who is shown them, the oldest are given back."""
        self.clock = Clock()
        self.source = Frames(HELD + kept)
        self.pictures = LeasingRing(1 + kept, width_px=WIDTH, height_px=HEIGHT)
        self.inverter = Inverter()
        self.kept, self.shown = kept, deque[tuple[Lease, Lease | None]]()
        self.loop = MagnifyLoop(self.source, self.pictures, self.show, clock=self.clock)
        self.loop.use(magnifier or self.inverter)

    def show(self, frame: Lease, magnified: Lease | None) -> None:
        if len(self.shown) >= self.kept:
            self.give_back()
        self.shown.append((frame.share("viewer"), magnified.share("viewer") if magnified else None))

    def give_back(self) -> None:
        for lease in self.shown.popleft():
            if lease is not None:
                lease.release()

    def run(self, frames: int) -> None:
        for _ in range(frames):
            assert self.loop.advance(0) is not None

    def close(self) -> None:
        """End, and check that every frame was given back."""
        self.loop.close()
        while self.shown:
            self.give_back()
        self.source.ring.close()
        self.pictures.close()


def test_frame_and_picture_are_shown() -> None:
    stage = Stage()
    for number in range(300):
        info = stage.loop.advance(0)
        assert info is not None
        frame, picture = stage.shown[-1]
        assert frame.info is not None
        assert picture is not None
        assert frame.info.sequence == info.sequence == number
        assert (frame.pixels == number % 251).all()
        assert (picture.pixels == 255 - number % 251).all()
        assert not frame.pixels.flags.writeable
        assert not picture.pixels.flags.writeable
    assert (stage.loop.magnified, stage.loop.no_slot) == (300, 0)
    stage.close()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.sampled_from(["advance", "advance", "advance", "give back", "pause"]), max_size=80),
    st.integers(1, 3),
)
def test_the_engine_compares_with_the_frame_before_however_slots_come_back(
    acts: list[str], kept: int
) -> None:
    stage = Stage(magnifier=Magnifier(Adder(), mode="dynamic", amplification=2.0), kept=kept)
    stage.source.scribbles = True
    before: dict[int, int] = {}
    last: int | None = None
    for act in acts:
        if act == "give back" and stage.shown:
            stage.give_back()
        elif act == "pause":
            stage.loop.magnifies = not stage.loop.magnifies
        elif act == "advance":
            info = stage.loop.advance(0)
            assert info is not None
            before[info.sequence] = info.sequence if last is None else last
            last = info.sequence if stage.loop.magnifies else None
        for frame, picture in stage.shown:
            assert frame.info is not None
            number = frame.info.sequence
            assert (frame.pixels == number % 251).all()
            if picture is not None:
                assert (picture.pixels == (number % 251 + before[number] % 251) % 256).all()
    assert stage.loop.no_slot == 0
    stage.close()


def test_where_too_many_pictures_are_held_frames_are_shown_as_filmed_and_counted() -> None:
    stage = Stage(kept=2)
    stage.run(2)
    held = [picture.share("greedy") for _, picture in stage.shown if picture is not None]
    stage.run(3)  # one slot is left, which the loop gets back with every second picture
    assert (stage.loop.magnified, stage.loop.no_slot) == (3, 2)
    assert [picture is not None for _, picture in stage.shown] == [False, False]
    for lease in held:
        lease.release()
    stage.run(2)
    assert (stage.loop.magnified, stage.loop.no_slot) == (5, 2)
    stage.close()


def test_an_engine_that_fails_leaves_no_frame_behind_and_the_loop_goes_on() -> None:
    stage = Stage()
    stage.run(3)
    restarts = stage.inverter.restarts

    def fail() -> None:
        raise EngineFault("a step failed", remedy="free memory")

    stage.inverter.on_step = fail
    for _ in range(10):  # more than there are slots
        with pytest.raises(EngineFault, match="a step failed"):
            stage.loop.advance(0)
    assert stage.inverter.restarts == restarts + 10
    stage.inverter.on_step = lambda: None
    stage.run(3)
    assert stage.loop.magnified == 6
    stage.close()


def test_the_magnifier_starts_anew_with_each_segment_after_a_pause_and_when_it_is_changed() -> None:
    stage = Stage()
    stage.source.infos = iter([FrameInfo(n, n / RATE_HZ, segment=n // 4) for n in range(12)] * 2)
    stage.run(12)
    first = stage.inverter.restarts
    assert first in (2, 3)  # the first segment may or may not count
    stage.loop.magnifies = False
    stage.run(3)
    assert (stage.inverter.restarts, stage.inverter.steps) == (
        first + 2,
        12,
    )  # segment 0 again, and the pause
    stage.loop.magnifies = True
    stage.run(1)
    assert (stage.inverter.restarts, stage.inverter.steps) == (first + 2, 13)
    other = Inverter()
    stage.loop.use(other)
    stage.run(2)
    # The next segment, and the change.
    assert (stage.inverter.restarts, other.steps) == (first + 4, 2)
    stage.loop.use(None)
    stage.run(2)
    assert (other.restarts, other.steps) == (1, 2)
    stage.close()


def test_every_stage_is_timed_from_the_capture_on() -> None:
    stage = Stage()

    def pass_time() -> None:
        stage.clock.now_s += 0.020

    stage.inverter.on_step = pass_time
    for number in range(50):
        now_s = stage.clock.now_s = 200.0 + number
        info = FrameInfo(number, number / RATE_HZ, captured_s=now_s - 0.012, arrived_s=now_s - 0.004)
        stage.source.infos = iter([info])
        stage.run(1)
    summaries = stage.loop.meter.times.summaries()
    exact_ms = {name: each.max_ms for name, each in summaries.items()}
    assert exact_ms == pytest.approx(
        {"capture": 8, "wait": 4, "step": 20, "output": 0, "total": 32}, abs=1e-6
    )
    assert {each.count for each in summaries.values()} == {50}
    assert stage.loop.meter.rate is not None
    assert stage.loop.meter.rate.rate_hz == pytest.approx(RATE_HZ)
    stage.close()


def test_without_a_time_of_capture_the_total_begins_at_arrival() -> None:
    stage = Stage()
    stage.source.infos = iter([FrameInfo(0, 0.0, arrived_s=99.5), FrameInfo(1, 0.02)])
    stage.run(2)
    summaries = stage.loop.meter.times.summaries()
    counts = {name: each.count for name, each in summaries.items()}
    assert counts == {"wait": 1, "step": 2, "output": 2, "total": 1}
    assert summaries["total"].max_ms == pytest.approx(500)
    stage.close()


@pytest.mark.alone
def test_ten_thousand_frames_leave_nothing_behind() -> None:
    stage = Stage(magnifier=Magnifier(Adder(), mode="dynamic", amplification=2.0), kept=2)

    def run(frames: int) -> None:
        for number in range(frames):
            stage.clock.now_s += 0.02
            stage.run(1)
            if number % 3:
                stage.give_back()

    tracemalloc.start()
    run(3000)  # caches of small objects, of Python and numpy, fill up first
    before, _ = tracemalloc.get_traced_memory()
    resident = resident_bytes()
    run(10_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000  # 5 bytes a frame: the smallest object that stays takes 24
    assert resident_bytes() - resident < 1 << 20
    stage.close()
