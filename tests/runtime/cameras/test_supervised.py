"""A camera may fail in any way: it is told, counted and opened again, and nobody waits for it."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from failing import PERIOD_S, FakeCamera, Stage
from numpy.typing import NDArray

from runtime.cameras import FrameInfo
from runtime.errors import CameraFault, CorruptFrameFault

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


def freezes(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    if camera.sequence == 400:
        camera.world.clock.now_s += 1.0  # the call hangs; the watching thread looks meanwhile: see `endure`
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
    assert state.produced == stage.world.produced >= FRAMES
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
