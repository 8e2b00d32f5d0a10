"""A day at a bridge: a camera on a clock that can be turned, and sets made on the spot."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stepped_threads import SteppedThreads

from tremorscope.calibration.capture.frames import SupervisedFrames
from tremorscope.calibration.pairs.calibration_set import SetManifest
from tremorscope.calibration.pairs.set_writer import NewPair, SetWriter, held
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings, SupervisorState
from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease

Picture = NDArray[np.uint8]
MIDNIGHT = datetime(2026, 6, 1, tzinfo=timezone(timedelta(hours=2)))


def textured(seed: int, width_px: int = 64, height_px: int = 48) -> Picture:
    """Noise of mean 128 and deviation 40."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal(128, 40, (height_px, width_px, 3)), 0, 255).astype(np.uint8)


def write_set(
    directory: Path, count: int = 32, *, pictures: Callable[[int], Picture] = textured, finished: bool = True
) -> SetManifest:
    """A set of pairs, frame number 2 n against 2 n + 1."""
    first = pictures(0)
    with held(directory):
        writer = SetWriter.create(
            directory,
            frame_size=FrameSize(width_px=first.shape[1], height_px=first.shape[0]),
            source="test",
            wanted=count,
            capture={},
            reserve_bytes=0,
        )
        for number in range(count):
            at = MIDNIGHT + timedelta(hours=number)
            writer.add(NewPair(pictures(2 * number), pictures(2 * number + 1), at, "dynamic", 1, 0.04))
        if finished:
            writer.finish()
        return writer.manifest


@dataclass
class World:
    """The time of day, the light, and everything that is seen; time passes only as somebody waits or looks."""

    now_s: float = 0.0
    noise: float = 1.5
    opened: int = 0
    fails_when: Callable[[float], bool] = lambda _now_s: False
    light: Callable[[float], float] = lambda _now_s: 1.0
    frozen: bool = False
    width_px: int = 96
    height_px: int = 54
    rate_hz: float = 2.0
    supervisor: SteppedSupervisor | None = None
    """Of the camera that is open."""

    def now(self) -> datetime:
        return MIDNIGHT + timedelta(seconds=self.now_s)

    def sleep(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.supervisor is not None and self.now_s < until_s:
            self.supervisor.turn()
        self.now_s = max(self.now_s, until_s)

    def open(self) -> SupervisedFrames:
        """A supervised camera, whose threads go on as somebody waits for a frame, or sleeps."""
        supervise = partial(SteppedSupervisor, world=self)
        return SupervisedFrames(
            self.open_camera, (self.width_px, self.height_px), SupervisorSettings(), supervise
        )

    def open_camera(self) -> WorldCamera:
        if self.fails_when(self.now_s):
            raise CameraFault("the camera is gone", remedy="plug it in")
        self.opened += 1
        return WorldCamera(self)


class SteppedSupervisor(CameraSupervisor):
    """A supervisor whose two threads make a step each as the test says, on the world's clock."""

    def __init__(self, *arguments: Any, world: World, **options: Any) -> None:
        threads = SteppedThreads()
        self._world, self._readers = world, threads.readers
        super().__init__(*arguments, clock=lambda: world.now_s, threads=threads, **options)

    def start(self) -> None:
        self._world.supervisor = self

    def turn(self) -> None:
        wait_s = self.check()
        if not (self._readers and self._readers[-1].step()):
            self._world.now_s += wait_s
        self.check()  # tells what happened in this step

    def take(self, timeout_s: float) -> Lease | None:
        until_s = self._world.now_s + timeout_s
        while (lease := super().take(0)) is None and self._world.now_s < until_s:
            self.turn()
        return lease

    def close(self) -> SupervisorState:
        self._world.supervisor = None
        self._closing = True
        while self._readers and self._readers[-1].step():
            pass
        return super().close()


def daylight(now_s: float) -> float:
    """0.1 at midnight, 1 at noon."""
    return 0.55 - 0.45 * math.cos(2 * math.pi * now_s / 86400)


class WorldCamera:
    """Looks at the world; its noise repeats after eleven frames."""

    def __init__(self, world: World) -> None:
        self._world, self._sequence = world, 0
        self.width_px, self.height_px, self.nominal_rate_hz = world.width_px, world.height_px, world.rate_hz
        y, x = np.mgrid[: world.height_px, : world.width_px]
        rng = np.random.default_rng(0)
        self._scene = (120 + 60 * np.sin(x / 7.0) * np.cos(y / 5.0)).astype(np.float32)[..., None]
        self._noise = rng.normal(0, world.noise, (11, world.height_px, world.width_px, 3)).astype(np.float32)

    def read_into(self, pixels: Picture) -> FrameInfo | None:
        world = self._world
        world.now_s += 1 / world.rate_hz
        noise = self._noise[0 if world.frozen else self._sequence % 11]
        pixels[:] = np.clip(self._scene * np.float32(world.light(world.now_s)) + noise + 0.5, 0, 255)
        self._sequence += 1
        return FrameInfo(self._sequence, world.now_s)

    def close(self) -> None:
        pass
