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
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.latest import Latest
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.magnify_loop import HELD, MagnifyLoop
from tremorscope.runtime.live.on_demand import PICTURES_HELD
from tremorscope.runtime.live.picture import LiveInfo
from tremorscope.runtime.magnification.magnifier import Magnifier
from tremorscope.runtime.service.frames import HELD_FRAMES


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


class Viewer:
    """What is shown: the newest picture is held, others are given back."""

    def __init__(self) -> None:
        self.infos: list[FrameInfo] = []
        self._held: tuple[Lease, ...] = ()

    def show(self, frame: Lease, magnified: Lease | None) -> None:
        assert frame.info is not None
        assert magnified is not None
        self.let_go()
        self._held = (frame.share("viewer"), magnified.share("viewer"))
        self.infos.append(frame.info)

    def let_go(self) -> None:
        held, self._held = self._held, ()
        for lease in held:
            lease.release()


def loop_over(stage: Stage, viewer: Viewer) -> tuple[MagnifyLoop, LeasingRing]:
    pictures = LeasingRing(2, width_px=SIZE[0], height_px=SIZE[1])
    loop = MagnifyLoop(Turns(stage), pictures, viewer.show, clock=stage.world.clock)
    loop.use(Magnifier(Copier(), mode="dynamic", amplification=2.0))
    return loop, pictures


@pytest.mark.parametrize("seed", range(5))
def test_after_a_loss_of_three_seconds_pictures_come_within_two(seed: int) -> None:
    chance = random.Random(seed)
    viewer = Viewer()
    stage = Stage(settings=SupervisorSettings(backoff=BackoffSettings(seed=seed)), held_by_consumer=HELD + 1)
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
    frames = loop.magnified
    assert frames > 0
    stage.world.present = False
    lost_s = stage.world.clock.now_s
    while stage.world.clock.now_s < lost_s + 3.0:
        assert loop.advance(0) is None
    stage.world.present, back_s = True, stage.world.clock.now_s
    while loop.advance(0) is None:
        pass
    assert stage.world.clock.now_s - back_s <= 2.0
    assert (loop.magnified, loop.no_slot) == (frames + 1, 0)
    assert [info.segment for info in viewer.infos] == [0] * frames + [1]
    viewer.let_go()
    loop.close()
    pictures.close()


def test_ten_thousand_frames_of_a_failing_camera_are_all_accounted_for() -> None:
    viewer, chance = Viewer(), random.Random(7)
    stage = Stage(held_by_consumer=HELD + 1)
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
        if chance.random() < 0.3:
            viewer.let_go()
    camera = stage.supervisor.state()
    assert len(viewer.infos) == loop.magnified == camera.taken
    assert loop.magnified + camera.drops.total + camera.waiting == stage.world.produced
    # What is missing between the first and the last frame, their numbers tell.
    while loop.advance(0) is None:
        pass
    numbers = [info.sequence for info in viewer.infos]
    assert numbers == sorted(set(numbers))
    segments = {info.segment for info in viewer.infos}
    assert len(segments) == stage.supervisor.state().segments == stage.supervisor.state().openings > 5
    stage.world.act = None
    for _ in range(100):
        loop.advance(0)
    rate = loop.meter.measure()
    assert rate is not None
    assert rate.rate_hz == pytest.approx(1 / PERIOD_S, rel=1e-6)
    viewer.let_go()
    loop.close()
    stage.supervisor.close()
    while stage.step():
        pass
    stage.ring.close()
    pictures.close()


def test_with_its_real_threads_the_camera_goes_on_while_a_viewer_hangs() -> None:
    """The viewer lets go only when the camera has given 300 frames more: who waits for it waits in vain."""
    world, enough = World(), threading.Event()
    feed, frames = LiveFeed(width_px=SIZE[0], height_px=SIZE[1]), Latest[Lease]()

    def at_a_thousand_a_second(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
        time.sleep(0.001)
        info = camera.produce()
        camera.draw(pixels)
        if world.produced >= 300:
            enough.set()
        return info

    world.act = at_a_thousand_a_second

    def hang() -> None:
        with feed.watch():
            found = feed.latest(timeout_s=30.0)
            assert found is not None
            with found:
                kept = found.frame.copy()
                assert enough.wait(30.0)
                untouched.append(bool((found.frame == kept).all()))

    untouched: list[bool] = []
    settings = SupervisorSettings(jump_s=60.0)
    slots = settings.slots(held_by_consumer=HELD_FRAMES)
    ring, pictures = (LeasingRing(n, width_px=SIZE[0], height_px=SIZE[1]) for n in (slots, PICTURES_HELD))
    supervisor = CameraSupervisor(
        lambda: FakeCamera(world),
        ring,
        settings=settings,
        on_frame=lambda frame: frames.put(frame.share("box")),
    )
    loop = MagnifyLoop(
        frames, pictures, lambda frame, magnified: feed.offer(frame, magnified, LiveInfo(world.produced, 0.0))
    )
    loop.use(Magnifier(Copier(), mode="dynamic", amplification=2.0))
    viewer = threading.Thread(target=hang)
    viewer.start()
    supervisor.start()
    while viewer.is_alive():
        loop.advance(0.1)
        if (measured := supervisor.take(0.0)) is not None:
            measured.release()
    assert untouched == [True]
    assert (supervisor.state().drops.no_slot, loop.no_slot, feed.dropped) == (0, 0, 0)
    supervisor.close()
    loop.close()
    frames.clear()
    feed.close()
    limit_s = time.monotonic() + 10.0
    while ring.free < ring.slots and time.monotonic() < limit_s:
        time.sleep(0.001)
    ring.close()
    pictures.close()
