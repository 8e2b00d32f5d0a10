"""A camera that fails as it is told to, a clock that is moved by hand, and a supervisor without threads."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from stepped_threads import SteppedThreads

from tremorscope.runtime.cameras.supervision.faults import CameraEvent
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing

RATE_HZ = 30.0
PERIOD_S = 1 / RATE_HZ
SIZE = (32, 24)


class HandClock:
    """Seconds that pass only when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def wait_until(condition: Callable[[], bool], limit_s: float = 10.0) -> None:
    """Wait for another thread."""
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


@dataclass
class World:
    """What a failing camera films: it outlives every opening, and counts all that was ever produced."""

    clock: HandClock = field(default_factory=HandClock)
    act: Callable[[FakeCamera, NDArray[np.uint8]], FrameInfo | None] | None = None
    """Called in place of an ordinary frame."""
    size: tuple[int, int] = SIZE
    present: bool = True
    produced: int = 0
    opened: int = 0
    closed: int = 0


class FakeCamera:
    """Numbers frames from 0 at each opening; each frame takes one period of the world's clock."""

    def __init__(self, world: World) -> None:
        if not world.present:
            raise CameraFault("fake camera: is not there", remedy="plug it in")
        world.opened += 1
        self.world = world
        self.sequence = -1
        self.width_px, self.height_px = world.size
        self.nominal_rate_hz = RATE_HZ

    def produce(self) -> FrameInfo:
        """One more frame, given out or not."""
        self.world.clock.now_s += PERIOD_S
        self.world.produced += 1
        self.sequence += 1
        return FrameInfo(self.sequence, self.world.clock.now_s)

    def draw(self, pixels: NDArray[np.uint8]) -> None:
        pixels[:] = self.sequence % 199
        pixels[0, 0] = 255  # a good frame is not constant

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        if self.world.act is not None:
            return self.world.act(self, pixels)
        info = self.produce()
        self.draw(pixels)
        return info

    def close(self) -> None:
        self.world.closed += 1


class Stage:
    """A supervisor whose threads are stepped by the test."""

    def __init__(
        self,
        world: World | None = None,
        settings: SupervisorSettings | None = None,
        held_by_consumer: int = 2,
    ) -> None:
        self.world = world or World()
        settings = settings or SupervisorSettings()
        self.ring = LeasingRing(
            settings.slots(held_by_consumer=held_by_consumer), width_px=SIZE[0], height_px=SIZE[1]
        )
        self.events: list[CameraEvent] = []
        threads = SteppedThreads()
        self.readers = threads.readers
        self.supervisor = CameraSupervisor(
            lambda: FakeCamera(self.world),
            self.ring,
            settings=settings,
            on_event=self.events.append,
            clock=self.world.clock,
            threads=threads,
        )

    def turn(self) -> Lease | None:
        """The watching thread looks once, the newest reading thread makes one step, the consumer takes one."""
        wait_s = self.supervisor.check()
        if not self.step():
            self.world.clock.now_s += wait_s
        self.supervisor.check()  # tells what happened in this step
        return self.supervisor.take(0)

    def step(self) -> bool:
        return bool(self.readers) and self.readers[-1].step()

    @property
    def edges(self) -> list[tuple[str, bool]]:
        return [(event.kind, event.begins) for event in self.events]
