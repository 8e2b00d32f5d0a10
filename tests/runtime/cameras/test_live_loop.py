"""The live loop behind a supervised camera: faults are a gap and a new segment, and nothing is started again."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest
from failing import PERIOD_S, SIZE, FakeCamera, Stage, World
from numpy.typing import NDArray

from tremorscope.runtime.cameras.supervision.faults import BackoffSettings
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.live.magnify_loop import LivePipeline
from tremorscope.runtime.live.outlets import LivePicture, Outlet, SinkThread, frames_held, pictures_held
from tremorscope.runtime.magnification.magnifier import Magnifier


class Copier:
    """An engine whose picture is the frame."""

    width_px, height_px = SIZE

    def step(
        self,
        frame: NDArray[np.uint8],
        reference: NDArray[np.uint8],
        amplification: float,
        magnified: NDArray[np.uint8],
    ) -> None:
        del reference, amplification
        np.copyto(magnified, frame)


class Turns:
    """The source of a loop whose supervisor's threads are stepped by hand, one step for each frame asked for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def take(self, timeout_s: float) -> Lease | None:  # noqa: ARG002
        return self._stage.turn()


def loop_over(stage: Stage, outlet: Outlet) -> tuple[LivePipeline, LeasingRing]:
    pictures = LeasingRing(pictures_held([outlet]), width_px=SIZE[0], height_px=SIZE[1])
    magnifier = Magnifier(Copier(), mode="dynamic", amplification=2.0)
    return LivePipeline(Turns(stage), magnifier, pictures, [outlet], clock=stage.world.clock), pictures


@pytest.mark.parametrize("seed", range(5))
def test_after_a_loss_of_three_seconds_pictures_come_within_two(seed: int) -> None:
    chance = random.Random(seed)
    viewer = Outlet("viewer")
    stage = Stage(
        settings=SupervisorSettings(backoff=BackoffSettings(seed=seed)),
        held_by_consumer=frames_held([viewer]),
    )
    loop, pictures = loop_over(stage, viewer)

    def live(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
        if not camera.world.present:
            raise CameraFault("fake camera: unplugged", remedy="plug it in")
        info = camera.produce()
        camera.draw(pixels)
        return info

    stage.world.act = live
    for _ in range(30 + chance.randrange(300)):
        loop.advance(0)
    frames = loop.state().frames
    assert frames > 0
    stage.world.present = False
    lost_s = stage.world.clock.now_s
    while stage.world.clock.now_s < lost_s + 3.0:
        assert loop.advance(0) is None
    stage.world.present, back_s = True, stage.world.clock.now_s
    while loop.advance(0) is None:
        pass
    assert stage.world.clock.now_s - back_s <= 2.0
    state = loop.state()
    assert (state.frames, state.segments, state.no_slot) == (frames + 1, 2, 0)
    picture = viewer.take(0)
    assert picture is not None
    with picture:
        assert picture.info.segment == 1
        assert picture.magnified is not None
    loop.close()
    pictures.close()


def test_ten_thousand_frames_of_a_failing_camera_are_all_accounted_for() -> None:
    viewer, chance = Outlet("viewer"), random.Random(7)
    stage = Stage(held_by_consumer=frames_held([viewer]))
    loop, pictures = loop_over(stage, viewer)

    def fails_now_and_then(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
        if chance.random() < 0.002 and camera.sequence > 0:
            raise CameraFault("fake camera: unplugged", remedy="plug it in")
        for _ in range(chance.choice([0] * 20 + [3]) if camera.sequence >= 0 else 0):
            camera.produce()
        info = camera.produce()
        camera.draw(pixels)
        if chance.random() < 0.01:
            pixels[:] = 80
        return info

    stage.world.act = fails_now_and_then
    while stage.world.produced < 10_000:
        loop.advance(0)
        if chance.random() < 0.7 and (picture := viewer.take(0)) is not None:
            picture.release()
    state, camera = loop.state(), stage.supervisor.state()
    assert state.frames == state.magnified == camera.taken
    assert state.frames + camera.drops.total + camera.waiting == stage.world.produced
    # What is missing between the first and the last frame, their numbers tell.
    last = loop.advance(0)
    while last is None:
        last = loop.advance(0)
    assert last.sequence + 1 == loop.state().frames + loop.state().missed
    assert state.segments == camera.segments == camera.openings > 5
    stage.world.act = None
    for _ in range(100):
        loop.advance(0)
    state = loop.state()
    assert state.rate is not None
    assert state.rate.rate_hz == pytest.approx(1 / PERIOD_S, rel=1e-6)
    loop.close()
    stage.supervisor.close()
    while stage.step():
        pass
    stage.ring.close()
    pictures.close()


def test_with_its_real_threads_the_camera_goes_on_while_a_viewer_hangs() -> None:
    """The viewer lets go only when the camera has given 300 frames more: who waits for it waits in vain."""
    world = World()
    enough = threading.Event()
    viewer = Outlet("viewer")

    def at_a_thousand_a_second(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
        time.sleep(0.001)
        info = camera.produce()
        camera.draw(pixels)
        if world.produced >= 300:
            enough.set()
        return info

    world.act = at_a_thousand_a_second

    class Hanging:
        shown = 0

        def show(self, picture: LivePicture) -> None:
            assert picture.magnified is not None
            assert enough.wait(30.0)
            self.shown += 1

    settings = SupervisorSettings(jump_s=60.0)
    ring = LeasingRing(
        settings.slots(held_by_consumer=frames_held([viewer])), width_px=SIZE[0], height_px=SIZE[1]
    )
    pictures = LeasingRing(pictures_held([viewer]), width_px=SIZE[0], height_px=SIZE[1])
    supervisor = CameraSupervisor(lambda: FakeCamera(world), ring, settings=settings)
    sink = Hanging()
    thread = SinkThread(viewer, sink)
    magnifier = Magnifier(Copier(), mode="dynamic", amplification=2.0)
    loop = LivePipeline(supervisor, magnifier, pictures, [viewer])
    supervisor.start()
    thread.start()
    while not (enough.is_set() and sink.shown):
        loop.advance(1.0)
    assert supervisor.state().drops.no_slot == 0
    assert loop.state().no_slot == 0
    loop.close()
    assert thread.close(10.0)
    supervisor.close()
    while ring.free < ring.slots:
        time.sleep(0.001)
    ring.close()
    pictures.close()
