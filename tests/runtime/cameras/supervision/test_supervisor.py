"""A camera may fail in any way: it is told, counted and opened again, and nobody waits for it."""

from __future__ import annotations

import gc
import random
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from failing import PERIOD_S, SIZE, FakeCamera, Stage, World
from numpy.typing import NDArray
from support import frames_of

from tremorscope.runtime.cameras.supervision.faults import BackoffSettings
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.errors import CameraFault, CorruptFrameFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import LeaseError

Act = Callable[[FakeCamera, NDArray[np.uint8]], FrameInfo | None]
FRAMES = 10_000


def good(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    info = camera.produce()
    camera.draw(pixels)
    return info


def dies(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    if camera.sequence >= 400:
        raise CameraFault("fake camera: unplugged", remedy="plug it in")
    return good(camera, pixels)


def crashes(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    if camera.sequence >= 400:
        raise ZeroDivisionError("a mistake in a driver")
    return good(camera, pixels)


def stutters(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    chance = random.Random(camera.world.produced)
    # Of frames that were lost before the first nobody can know.
    for _ in range(chance.choice([0, 0, 0, 0, 1, 3, 12]) if camera.sequence >= 0 else 0):
        camera.produce()
    return good(camera, pixels)


def changes_size(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    if camera.sequence == 400:
        camera.width_px += 2
    return good(camera, pixels)


def is_short(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    if camera.world.produced // 20 % 10 == 3:
        info = camera.produce()
        raise CorruptFrameFault("fake camera: short read", remedy="check the cable", sequence=info.sequence)
    return good(camera, pixels)


def is_garbage(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    info = good(camera, pixels)
    if info.sequence % 17 == 5:
        pixels[:] = 80
    if info.sequence % 100 == 50:
        return FrameInfo(info.sequence, float("nan"))
    return info


def jumps_in_time(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    info = good(camera, pixels)
    leap_s = {0: 0.0, 1: 3600.0, 2: -500.0, 3: 1e9, 4: 0.0}[info.sequence // 50 % 5]
    return FrameInfo(info.sequence, info.timestamp_s + leap_s)


def endure(stage: Stage, act: Act, frames: int = FRAMES) -> list[FrameInfo]:
    """Let a camera produce so many frames, and take all that come; the last opening ends in good order."""
    stage.world.act = act
    infos: list[FrameInfo] = []
    while stage.world.produced < frames:
        readers = len(stage.readers)
        lease = stage.turn()
        if lease is not None:
            with lease:
                assert lease.info is not None
                infos.append(lease.info)
        if len(stage.readers) > readers:
            del stage.readers[:-1]  # a thread that has ended is gone as well
    return infos


@pytest.mark.parametrize(
    ("act", "kinds", "openings"),
    [
        (good, set(), 1),
        (dies, {"lost"}, 25),
        (crashes, {"lost"}, 25),
        (stutters, set(), 1),
        (changes_size, {"resized"}, 25),
        (is_short, {"corrupt"}, 101),
        (is_garbage, {"corrupt"}, 1),
        (jumps_in_time, {"time"}, 1),
    ],
)
def test_nothing_is_lost_that_was_not_counted(act: Act, kinds: set[str], openings: int) -> None:
    stage = Stage()
    infos = endure(stage, act)
    state = stage.supervisor.state()
    assert state.taken == len(infos) > 0.5 * FRAMES * (act is not stutters)
    assert frames_of(state) == stage.world.produced >= FRAMES
    assert state.drops.late == state.drops.no_slot == 0
    assert {kind for kind, _ in stage.edges} == kinds
    assert state.openings == openings
    numbers = np.array([info.sequence for info in infos])
    times_s = np.array([info.timestamp_s for info in infos])
    segments = np.array([info.segment for info in infos])
    assert (np.diff(numbers) >= 1).all()
    assert (np.diff(times_s) > 0).all()
    assert (np.diff(segments) >= 0).all()
    # Within a segment every gap in the numbers is a gap in time, and the other way round.
    same = np.diff(segments) == 0
    np.testing.assert_allclose(np.diff(times_s)[same], np.diff(numbers)[same] * PERIOD_S, rtol=1e-3)


def test_a_hanging_read_is_left_and_what_it_brings_late_is_counted() -> None:
    stage, released = Stage(), 0
    for produced in range(400, FRAMES + 1, 400):
        while stage.world.produced < produced:
            if (lease := stage.turn()) is not None:
                lease.release()
                released += 1
        hanging = stage.readers[-1]
        stage.world.clock.now_s += 0.51  # 15 periods: the call has not returned meanwhile
        frozen_at_s = stage.world.clock.now_s
        stage.supervisor.check()
        assert stage.edges[-1] == ("frozen", True)
        assert stage.events[-1].at_s == frozen_at_s
        assert stage.events[-1].at_s - stage.events[-1].since_s == pytest.approx(0.51)
        assert stage.supervisor.state().abandoned_threads == 1
        while hanging.step():  # now it does, with one more frame, and finds that it has been abandoned
            pass
        assert stage.supervisor.state().abandoned_threads == 0
        del stage.readers[:]
    state = stage.supervisor.state()
    assert frames_of(state) == stage.world.produced
    assert state.taken == released
    assert state.drops.abandoned == state.openings == stage.world.closed == 25
    assert stage.supervisor.close().waiting == 0
    assert stage.ring.free == stage.ring.slots
    stage.ring.close()


def test_when_too_many_threads_hang_the_camera_is_stuck_until_one_returns() -> None:
    stage = Stage(settings=SupervisorSettings(most_abandoned=2))
    stage.supervisor.check()
    for _ in range(50):  # no reader makes a step: all hang while opening
        stage.world.clock.now_s += 20.0
        stage.supervisor.check()
    state = stage.supervisor.state()
    assert (len(stage.readers), state.abandoned_threads, state.status) == (2, 2, "stuck")
    assert stage.edges == [("missing", True), ("stuck", True)]
    for reader in stage.readers:
        reader.run()  # what hung returns at last, finds that nobody waits for it, and ends
    stage.supervisor.check()
    while (lease := stage.turn()) is None:
        pass
    lease.release()
    assert stage.edges[2:] == [("stuck", False), ("missing", False)]
    assert stage.supervisor.state().status == "running"


def test_a_camera_that_is_missing_at_the_start_is_found_when_it_comes() -> None:
    stage = Stage(World(present=False))
    begun_s = stage.world.clock.now_s
    while stage.world.clock.now_s < begun_s + 3600:
        assert stage.turn() is None
    attempts = stage.events[0].occurrences, len(stage.readers)
    assert stage.edges == [("missing", True)]
    assert attempts[0] == 1
    assert 3600 / 30 < attempts[1] < 3600 / 27 + 15  # a half-minute's pause at most, a tenth less at least
    stage.world.present = True
    back_s = stage.world.clock.now_s
    while (lease := stage.turn()) is None:
        pass
    assert stage.world.clock.now_s - back_s <= 30 + PERIOD_S
    assert stage.events[-1].begins is False
    assert stage.events[-1].occurrences in (attempts[1], attempts[1] - 1)
    lease.release()


@pytest.mark.parametrize("seed", range(20))
def test_after_a_loss_of_three_seconds_frames_come_within_two(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage(settings=SupervisorSettings(backoff=BackoffSettings(seed=seed)))
    endure(stage, good, 30 + chance.randrange(300))
    stage.world.present = False

    def unplugged(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
        if not camera.world.present:
            raise CameraFault("fake camera: unplugged", remedy="plug it in")
        return good(camera, pixels)

    stage.world.act = unplugged
    lost_s = stage.world.clock.now_s
    while stage.world.clock.now_s < lost_s + 3.0:
        stage.supervisor.check()
        if not stage.step():
            stage.world.clock.now_s += 0.01
    stage.world.present = True
    back_s = stage.world.clock.now_s
    lease = None
    while lease is None:
        lease = stage.turn()
    assert stage.world.clock.now_s - back_s <= 2.0
    assert stage.edges == [("lost", True), ("lost", False)]
    assert stage.events[0].since_s == pytest.approx(lost_s, abs=0.02)
    assert lease.info is not None
    assert lease.info.segment == 1
    lease.release()


def test_the_newest_frame_wins_and_a_consumer_that_holds_all_slots_stops_nothing() -> None:
    stage = Stage(held_by_consumer=2)
    held = []
    while len(held) < 4:  # one more than the ring has room for besides the camera's own
        if (lease := stage.turn()) is not None:
            held.append(lease)
        elif stage.ring.free == 0:
            break
    for _ in range(FRAMES):
        stage.supervisor.check()
        stage.step()
    state = stage.supervisor.state()
    assert frames_of(state) == stage.world.produced >= FRAMES
    assert state.drops.late + state.drops.no_slot >= FRAMES - 5
    for lease in held:
        lease.release()
    for _ in range(3):
        stage.step()
    newest = stage.supervisor.take(0)
    assert newest is not None
    assert newest.info is not None
    assert newest.info.sequence == stage.world.produced - 1
    newest.release()


def test_a_queue_keeps_the_order_and_loses_the_oldest() -> None:
    stage = Stage(settings=SupervisorSettings(most_waiting=3))
    while stage.world.produced < 10:
        stage.supervisor.check()
        stage.step()
    numbers = []
    while (lease := stage.supervisor.take(0)) is not None:
        with lease:
            numbers.append(lease.info.sequence if lease.info else None)
    assert numbers == [7, 8, 9]
    assert stage.supervisor.state().drops.late == 7


def test_a_frame_that_is_never_released_is_told_to_who_lost_it() -> None:
    stage = Stage()
    while (lease := stage.turn()) is None:
        pass
    del lease
    gc.collect()
    stage.step()
    with pytest.raises(LeaseError, match="never released: frame 0 of the consumer of the camera"):
        stage.turn()
    assert stage.world.closed == 1


def test_a_source_may_end_in_good_order() -> None:
    def ends(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        return good(camera, pixels) if camera.sequence < 99 else None

    stage = Stage(settings=SupervisorSettings(end_is_fault=False))
    assert len(endure(stage, ends, 100)) == 100
    for _ in range(5):
        assert stage.turn() is None
    assert stage.supervisor.state().status == "ended"
    assert stage.events == []
    assert stage.world.closed == 1


def test_a_camera_of_another_size_is_refused_until_it_has_the_wanted_one() -> None:
    stage = Stage(World(size=(SIZE[0] * 2, SIZE[1])))
    for _ in range(20):
        assert stage.turn() is None
    assert stage.edges == [("resized", True)]
    assert stage.events[0].detail == "frames are 64x24 px, and 32x24 px are wanted"
    assert stage.world.closed == stage.world.opened >= 4
    stage.world.size = SIZE
    while (lease := stage.turn()) is None:
        pass
    lease.release()
    assert stage.edges[1:] == [("resized", False)]


@pytest.mark.alone
@pytest.mark.parametrize("act", [good, dies, stutters, is_short, is_garbage, jumps_in_time])
def test_memory_is_flat(act: Act) -> None:
    stage = Stage()
    stage.world.act = act

    def run(frames: int) -> None:
        until = stage.world.produced + frames
        while stage.world.produced < until:
            if (lease := stage.turn()) is not None:
                lease.release()
            del stage.readers[:-1], stage.events[:]

    run(1500)
    tracemalloc.start()
    try:
        run(500)
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        run(4000)
        gc.collect()
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4000
    assert peak - before < 32_000  # nowhere as much as a few frames of 2304 bytes kept, whatever went wrong
