"""A stuck picture that keeps coming is told from a scene that stands still."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from failing import RATE_HZ, FakeCamera, Stage, World
from numpy.typing import NDArray

from tremorscope.runtime.cameras.supervision.intake import StuckPictureDetector
from tremorscope.runtime.cameras.supervision.settings import SupervisorSettings
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.frames.frame import FrameInfo

STILL_S = 5.0
Picture = Callable[[int], NDArray[np.uint8]]


def first_refusal(picture: Picture, frames: int = 400, rate_hz: float = RATE_HZ) -> int | None:
    watch = StuckPictureDetector(STILL_S, reopens=True)
    watch.reopened(rate_hz, 0.0)
    return next((number for number in range(frames) if watch.look(picture(number))), None)


def scene(seed: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (180, 320, 3), np.uint8)


def with_noise(sigma: float, level: NDArray[np.uint8]) -> Picture:
    def picture(number: int) -> NDArray[np.uint8]:
        noise = np.random.default_rng(number).normal(0, sigma, level.shape)
        return np.clip(np.rint(level + noise), 0, 255).astype(np.uint8)

    return picture


@pytest.mark.parametrize("sigma", [0.25, 0.5, 2.0])
def test_noise_alone_keeps_a_still_scene_from_being_refused(sigma: float) -> None:
    assert first_refusal(with_noise(sigma, scene())) is None


def test_noise_that_can_be_seen_in_a_few_lamps_at_night_is_enough() -> None:
    night = np.zeros((180, 320, 3), np.uint8)
    night[60:120, 100:200] = 128
    noisy = with_noise(0.5, night)
    assert first_refusal(lambda number: np.where(night > 0, noisy(number), night)) is None


def test_the_drawn_camera_is_never_refused_with_its_stored_noise() -> None:
    camera = SyntheticCamera(SyntheticSettings(320, 180, rate_hz=RATE_HZ, noise_sigma=0.5, modes=()))
    pixels = np.empty((180, 320, 3), np.uint8)

    def picture(_: int) -> NDArray[np.uint8]:
        camera.read_into(pixels)
        return pixels

    assert first_refusal(picture) is None


def key_frames(number: int) -> NDArray[np.uint8]:
    """Every 50th frame a stuck encoder codes the same picture a little differently."""
    return scene() ^ np.uint8(number // 50 % 2)


def clock(number: int) -> NDArray[np.uint8]:
    """A clock is written into the stuck picture: 40x8 of 320x180 px, of which a digit changes each second."""
    shown = scene()
    shown[4:12, 272:280] = number // 30 * 40 % 256
    return shown


@pytest.mark.parametrize(
    ("picture", "refused_at"),
    [(lambda _: scene(), 150), (key_frames, 183), (clock, 150)],
    ids=["bit for bit", "key frames", "clock"],
)
def test_a_stuck_picture_is_refused_after_five_seconds(picture: Picture, refused_at: int) -> None:
    found = first_refusal(picture)
    assert found is not None
    assert abs(found - refused_at) <= 2


def test_stills_of_a_slow_camera_are_counted_not_timed() -> None:
    assert first_refusal(lambda _: scene(), rate_hz=0.1) == 15


def test_frames_that_are_lost_in_between_delay_nothing() -> None:
    watch, stuck = StuckPictureDetector(STILL_S, reopens=True), scene()
    watch.reopened(RATE_HZ, 0.0)
    refused = next(number for number in range(0, 400, 6) if watch.look(stuck, number))
    assert abs(refused - 150) <= 6


def test_repeated_frames_alone_are_no_stuck_picture() -> None:
    assert first_refusal(lambda number: scene(number // 6)) is None


def test_only_a_repeated_picture_is_examined_at_every_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    examined = []
    sample = StuckPictureDetector._sample
    monkeypatch.setattr(
        StuckPictureDetector, "_sample", lambda self, pixels: examined.append(pixels) or sample(self, pixels)
    )
    watch = StuckPictureDetector(STILL_S, reopens=True)
    watch.reopened(100.0, 0.0)
    for number in range(100):
        watch.look(scene(number), number)
    assert len(examined) == 10
    for number in range(100, 200):
        watch.look(scene(99), number)
    assert len(examined) > 10 + 85


def frozen(camera: FakeCamera, pixels: NDArray[np.uint8]) -> FrameInfo:
    """Moves for two seconds, then stands still for twenty, through all openings."""
    info = camera.produce()
    number = camera.world.produced
    pixels[:] = number % 199 if number < 60 or number > 660 else 77
    pixels[0, 0] = 255
    return info


def test_both_edges_are_told_and_nothing_is_delivered_in_between() -> None:
    stage = Stage(World(act=frozen))
    taken: list[int] = []
    while stage.world.produced < 760:
        lease = stage.turn()
        if lease is not None:
            taken.append(stage.world.produced)
            lease.release()
    assert stage.edges == [("frozen", True), ("frozen", False)]
    assert stage.events[0].detail.startswith("the picture has been the same for 5 s, noise and all")
    before = [number for number in taken if number < 600]
    assert 205 <= before[-1] <= 215
    after = [number for number in taken if number > 600]
    assert 661 <= after[0] <= 665
    assert stage.world.opened > 2  # it was opened again, and again where that had not helped
    assert stage.supervisor.state().drops.total + len(taken) >= 755


def test_a_clip_that_ends_in_good_order_is_not_begun_anew() -> None:
    stage = Stage(World(act=frozen), SupervisorSettings(end_is_fault=False))
    while stage.world.produced < 400:
        if (lease := stage.turn()) is not None:
            lease.release()
    assert (stage.world.opened, stage.edges) == (1, [("frozen", True)])


def test_a_source_without_noise_may_stand_still_if_so_configured() -> None:
    stage = Stage(World(act=frozen), SupervisorSettings(still_s=None))
    while stage.world.produced < 400:
        if (lease := stage.turn()) is not None:
            lease.release()
    assert stage.edges == []
