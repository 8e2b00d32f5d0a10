"""The live loop hands every frame on, times it, and is held up by nobody."""

from __future__ import annotations

import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tremorscope.runtime.errors import EngineFault, OutputFault
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.live.magnify_loop import LivePipeline
from tremorscope.runtime.live.outlets import LivePicture, Outlet, SinkThread, frames_held, pictures_held
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, Magnifier

WIDTH, HEIGHT = 8, 4
RATE_HZ = 50.0
WAIT_S = 30.0


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
    """A loop over test frames, with the rings that it needs and no more."""

    def __init__(
        self,
        *outlets: Outlet,
        magnifier: FrameMagnifier | None = None,
    ) -> None:
        self.clock = Clock()
        self.source = Frames(frames_held(outlets))
        self.pictures = LeasingRing(pictures_held(outlets), width_px=WIDTH, height_px=HEIGHT)
        self.inverter = Inverter()
        self.loop = LivePipeline(
            self.source,
            magnifier or self.inverter,
            self.pictures,
            outlets,
            clock=self.clock,
        )

    def run(self, frames: int) -> None:
        for _ in range(frames):
            assert self.loop.advance(0) is not None

    def close(self) -> None:
        """End, and check that every frame was given back."""
        self.loop.close()
        self.source.ring.close()
        self.pictures.close()


def test_frame_and_picture_reach_every_output_that_wants_them() -> None:
    viewer, meter = Outlet("viewer"), Outlet("meter", wants_magnified=False)
    stage = Stage(viewer, meter)
    for number in range(300):
        info = stage.loop.advance(0)
        assert info is not None
        for outlet in (viewer, meter):
            picture = outlet.take(0)
            assert picture is not None
            with picture:
                assert picture.info.sequence == info.sequence == number
                assert (picture.frame.pixels == number % 251).all()
                assert not picture.frame.pixels.flags.writeable
                if outlet is viewer:
                    assert picture.magnified is not None
                    assert (picture.magnified.pixels == 255 - number % 251).all()
                else:
                    assert picture.magnified is None
    state = stage.loop.state()
    assert (state.frames, state.magnified, state.no_slot, state.missed, state.segments) == (300, 300, 0, 0, 1)
    assert [(each.taken, each.dropped) for each in state.outlets] == [(300, 0), (300, 0)]
    stage.close()


class Consumers:
    """Outputs that take and release as they are told, and check each picture that they let go."""

    def __init__(self, outlets: dict[str, Outlet]) -> None:
        self.outlets = outlets
        self.held: dict[str, LivePicture] = {}
        self.before: dict[int, int] = {}
        """Of each magnified frame, the one that it must have been compared with."""

    def act(self, what: str, name: str) -> None:
        if what == "take" and name not in self.held and (picture := self.outlets[name].take(0)) is not None:
            self.held[name] = picture
        elif what == "release" and name in self.held:
            self.release(name)

    def release(self, name: str) -> None:
        with self.held.pop(name) as picture:
            number = picture.info.sequence
            assert (picture.frame.pixels == number % 251).all()
            if picture.magnified is not None:
                expected = (number % 251 + self.before[number] % 251) % 256
                assert (picture.magnified.pixels == expected).all()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sampled_from(["advance", "advance", "take a", "take b", "release a", "release b", "pause"]),
        max_size=80,
    ),
    st.integers(1, 3),
)
def test_the_engine_compares_with_the_frame_before_however_slots_come_back(
    acts: list[str], waiting: int
) -> None:
    outlets = {"a": Outlet("a", most_waiting=waiting), "b": Outlet("b", wants_magnified=False)}
    stage = Stage(*outlets.values(), magnifier=Magnifier(Adder(), mode="dynamic", amplification=2.0))
    stage.source.scribbles = True
    consumers = Consumers(outlets)
    last: int | None = None
    for act in acts:
        what, _, name = act.partition(" ")
        consumers.act(what, name)
        if what == "pause":
            stage.loop.magnifies = not stage.loop.magnifies
        elif what == "advance":
            info = stage.loop.advance(0)
            assert info is not None
            consumers.before[info.sequence] = info.sequence if last is None else last
            last = info.sequence if stage.loop.magnifies else None
    for name in list(consumers.held):
        consumers.release(name)
    state = stage.loop.state()
    assert state.no_slot == 0
    for outlet in state.outlets:
        assert outlet.offered == outlet.taken + outlet.dropped + outlet.waiting
    stage.close()


def test_the_frame_before_is_kept_although_every_output_has_let_it_go() -> None:
    viewer = Outlet("viewer")
    stage = Stage(viewer, magnifier=Magnifier(Adder(), mode="dynamic", amplification=2.0))
    stage.source.scribbles = True
    for number in range(100):
        stage.run(1)
        with viewer.take(0) or pytest.fail("no picture") as picture:
            assert picture.magnified is not None
            assert (picture.magnified.pixels == number + max(0, number - 1)).all()
    stage.close()


class BlockedSink:
    """An output that hangs in its first picture until it is released."""

    def __init__(self) -> None:
        self.begun, self.let_go, self.done = threading.Event(), threading.Event(), threading.Event()
        self.seen: list[int] = []

    def show(self, picture: LivePicture) -> None:
        first = not self.seen
        self.seen.append(picture.info.sequence)
        if first:
            self.begun.set()
            assert self.let_go.wait(WAIT_S)
            assert (picture.frame.pixels == picture.info.sequence % 251).all()  # nobody wrote into it
        else:
            self.done.set()


def test_an_output_that_hangs_holds_nobody_up_and_goes_on_with_the_newest() -> None:
    viewer, other = Outlet("viewer"), Outlet("other")
    stage, sink = Stage(viewer, other), BlockedSink()
    thread = SinkThread(viewer, sink)
    thread.start()
    stage.run(1)
    assert sink.begun.wait(WAIT_S)
    for number in range(1, 2000):  # would never end if the loop waited for the viewer
        stage.run(1)
        picture = other.take(0)
        assert picture is not None
        assert picture.info.sequence == max(0, number)
        picture.release()
        if number == 1:
            assert stage.loop.state().outlets[1].dropped == 1  # frame 0, which `other` did not take
    state = stage.loop.state()
    assert (state.magnified, state.no_slot) == (2000, 0)
    assert (state.outlets[0].dropped, state.outlets[0].waiting) == (1998, 1)
    sink.let_go.set()
    assert sink.done.wait(WAIT_S)
    assert sink.seen == [0, 1999]
    assert thread.close(WAIT_S)
    assert thread.times.summary().count == 2
    stage.close()


def test_an_output_that_fails_is_told_once_and_takes_nothing_more() -> None:
    class Full:
        def show(self, picture: LivePicture) -> None:
            raise OutputFault(f"frame {picture.info.sequence}: the disk is full", remedy="free some space")

    told: list[tuple[str, str]] = []
    viewer = Outlet("recorder")
    stage = Stage(viewer)
    thread = SinkThread(viewer, Full(), on_fault=lambda name, fault: told.append((name, fault.what)))
    thread.start()
    stage.run(1)
    while thread.fault is None:
        stage.run(1)
    assert thread.close(WAIT_S)
    stage.run(10)
    assert len(told) == 1
    assert told[0][0] == "recorder"
    state = stage.loop.state().outlets[0]
    assert (state.waiting, state.taken + state.dropped) == (0, state.offered)
    stage.close()


def test_an_output_that_holds_more_than_it_said_loses_pictures_and_nobody_else_frames() -> None:
    greedy, meter = Outlet("greedy"), Outlet("meter", wants_magnified=False)
    stage = Stage(greedy, meter)
    held = []
    for _ in range(2):
        stage.run(1)
        picture = greedy.take(0)
        assert picture is not None
        held.append(picture)
    stage.run(1)  # takes the last slot, which waits in the outlet
    (last := meter.take(0)) and last.release()
    stage.run(1)
    state = stage.loop.state()
    assert (state.frames, state.magnified, state.no_slot) == (4, 3, 1)
    newest = meter.take(0)
    assert newest is not None
    assert newest.info.sequence == 3
    for picture in (*held, newest):
        picture.release()
    stage.close()


def test_an_engine_that_fails_leaves_no_frame_behind_and_the_loop_goes_on() -> None:
    viewer = Outlet("viewer")
    stage = Stage(viewer)
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
    assert stage.loop.state().magnified == 6
    stage.close()


def test_the_magnifier_starts_anew_with_each_segment_after_a_pause_and_when_it_is_changed() -> None:
    stage = Stage(Outlet("viewer"))
    stage.source.infos = iter([FrameInfo(n, n / RATE_HZ, segment=n // 4) for n in range(12)] * 2)
    stage.run(12)
    assert (stage.inverter.restarts, stage.loop.state().segments) == (3, 3)
    stage.loop.magnifies = False
    stage.run(3)
    assert (stage.inverter.restarts, stage.inverter.steps) == (5, 12)  # segment 0 again, and the pause
    stage.loop.magnifies = True
    stage.run(1)
    assert (stage.inverter.restarts, stage.inverter.steps) == (5, 13)
    other = Inverter()
    stage.loop.use(other)
    stage.run(2)
    assert (stage.inverter.restarts, other.steps) == (7, 2)  # the next segment, and the change
    stage.loop.use(None)
    stage.run(2)
    assert (other.restarts, other.steps) == (1, 2)
    stage.close()


def test_every_stage_is_timed_from_the_capture_on() -> None:
    stage = Stage(Outlet("viewer"))

    def pass_time() -> None:
        stage.clock.now_s += 0.020

    stage.inverter.on_step = pass_time
    for number in range(50):
        now_s = stage.clock.now_s = 200.0 + number
        info = FrameInfo(number, number / RATE_HZ, captured_s=now_s - 0.012, arrived_s=now_s - 0.004)
        stage.source.infos = iter([info])
        stage.run(1)
    summaries = stage.loop.latencies.summaries()
    exact_ms = {name: each.max_ms for name, each in summaries.items()}
    assert exact_ms == pytest.approx(
        {"capture": 8, "wait": 4, "step": 20, "output": 0, "total": 32}, abs=1e-6
    )
    assert {each.count for each in summaries.values()} == {50}
    stage.close()


def test_without_a_time_of_capture_the_total_begins_at_arrival() -> None:
    stage = Stage(Outlet("viewer"))
    stage.source.infos = iter([FrameInfo(0, 0.0, arrived_s=99.5), FrameInfo(1, 0.02)])
    stage.run(2)
    summaries = stage.loop.latencies.summaries()
    assert {name: each.count for name, each in summaries.items()} == {
        "wait": 1,
        "step": 2,
        "output": 2,
        "total": 1,
    }
    assert summaries["total"].max_ms == pytest.approx(500)
    stage.close()


def test_lost_frames_are_counted_by_their_numbers() -> None:
    stage = Stage(Outlet("viewer"))
    numbers = [0, 1, 2, 5, 6, 10, 11]
    stage.source.infos = iter([FrameInfo(n, n / RATE_HZ, segment=n // 10) for n in numbers])
    stage.run(len(numbers))
    assert stage.loop.advance(0) is None
    state = stage.loop.state()
    assert (state.frames, state.missed, state.segments) == (7, 5, 2)
    stage.close()


def test_ten_thousand_frames_leave_nothing_behind() -> None:
    viewer, meter = Outlet("viewer"), Outlet("meter", most_waiting=3, wants_magnified=False)
    stage = Stage(viewer, meter, magnifier=Magnifier(Adder(), mode="dynamic", amplification=2.0))

    def run(frames: int) -> None:
        for number in range(frames):
            stage.clock.now_s += 0.02
            stage.run(1)
            if number % 3 and (picture := viewer.take(0)) is not None:
                picture.release()

    tracemalloc.start()
    run(3000)  # caches of small objects, of Python and numpy, fill up first
    before, _ = tracemalloc.get_traced_memory()
    resident = _resident_bytes()
    run(10_000)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000  # 5 bytes a frame: the smallest object that stays takes 24
    assert _resident_bytes() - resident < 1 << 20
    stage.close()


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096


def test_a_ring_that_is_too_small_is_refused_at_the_start() -> None:
    viewer = Outlet("viewer", most_waiting=2)
    ring = LeasingRing(pictures_held([viewer]) - 1, width_px=WIDTH, height_px=HEIGHT)
    with pytest.raises(ValueError, match="too few"):
        LivePipeline(Frames(4), None, ring, [viewer])
    with pytest.raises(ValueError, match="at least one"):
        Outlet("viewer", most_waiting=0)
