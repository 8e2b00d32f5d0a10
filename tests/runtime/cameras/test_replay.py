"""A clip is replayed as a live camera: on time, in a loop that goes on, and late frames are lost and counted."""

from __future__ import annotations

import threading
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from failing import HandClock
from support import textured_frames

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.opening import open_camera
from tremorscope.runtime.cameras.replay import ReplayCamera
from tremorscope.runtime.cameras.settings import ClipSettings
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.service.opening import CameraOpener


def replay(clip: Path, clock: HandClock, **options: object) -> ReplayCamera:
    def wait(seconds: float) -> None:
        clock.now_s += seconds

    return ReplayCamera(lambda: ClipCamera(clip), clock=clock, wait=wait, **options)


def picture() -> np.ndarray:
    return np.zeros((48, 64, 3), np.uint8)


def test_each_frame_comes_when_it_is_due(clip: Path) -> None:
    clock, pixels = HandClock(), picture()
    camera = replay(clip, clock)
    begun_s = clock.now_s
    for number, truth in enumerate(textured_frames(10)):
        info = camera.read_into(pixels)
        assert info == FrameInfo(number, pytest.approx(number / 25))
        assert clock.now_s - begun_s == pytest.approx(number / 25)
        np.testing.assert_array_equal(pixels, truth)
    assert camera.read_into(pixels) is None
    assert (camera.dropped, camera.slipped_s) == (0, 0.0)


def test_a_late_reader_misses_what_a_real_camera_would_have_overwritten(clip: Path) -> None:
    clock, pixels = HandClock(), picture()
    camera = replay(clip, clock)
    numbers = []
    while (info := camera.read_into(pixels)) is not None:
        numbers.append(info.sequence)
        clock.now_s += 0.1  # two and a half periods
    assert numbers == [0, 2, 5, 7]
    assert camera.dropped == 6  # 1, 3, 4, 6, and 8 and 9, which were due before the end was seen
    assert len(numbers) + camera.dropped == 10


def test_at_full_speed_nothing_waits_and_nothing_is_dropped(clip: Path) -> None:
    clock, pixels = HandClock(), picture()
    camera = replay(clip, clock, pace="fast", loop=True)
    infos = [camera.read_into(pixels) for _ in range(1000)]
    assert [info.sequence for info in infos if info] == list(range(1000))
    np.testing.assert_allclose([info.timestamp_s for info in infos if info], np.arange(1000) / 25, atol=1e-9)
    assert (camera.loops, camera.dropped, clock.now_s) == (99, 0, 1000.0)
    np.testing.assert_array_equal(pixels, textured_frames(10)[9])


def test_a_loop_keeps_time(clip: Path) -> None:
    clock, pixels = HandClock(), picture()
    camera = replay(clip, clock, loop=True)
    begun_s = clock.now_s
    for number in range(35):
        info = camera.read_into(pixels)
        assert info is not None
        assert info.sequence == number
        assert clock.now_s - begun_s == pytest.approx(number / 25)
    np.testing.assert_array_equal(pixels, textured_frames(10)[4])


def test_a_source_too_slow_for_its_rate_slips_rather_than_being_skipped_to_its_end(clip: Path) -> None:
    clock = HandClock()

    class Slow(ClipCamera):
        def read_into(self, pixels: np.ndarray) -> FrameInfo | None:
            clock.now_s += 0.3
            return super().read_into(pixels)

    camera = ReplayCamera(
        lambda: Slow(clip), loop=True, clock=clock, wait=lambda s: setattr(clock, "now_s", clock.now_s + s)
    )
    pixels = picture()
    for _ in range(20):
        before_s = clock.now_s
        assert camera.read_into(pixels) is not None
        assert clock.now_s - before_s <= 1.6
    assert camera.slipped_s > 5
    assert 20 < camera.dropped < 100


def test_the_synthetic_structure_is_replayed_as_well() -> None:
    settings = SyntheticSettings(width_px=64, height_px=36, rate_hz=30, duration_s=1)
    camera = ReplayCamera(lambda: SyntheticCamera(settings), pace="fast", loop=True)
    pixels = np.zeros((36, 64, 3), np.uint8)
    times_s = [info.timestamp_s for _ in range(95) if (info := camera.read_into(pixels)) is not None]
    np.testing.assert_allclose(np.diff(times_s), 1 / 30, atol=1e-9)
    assert camera.loops == 3


def test_a_clip_that_was_replaced_by_another_size_is_told(clip: Path) -> None:
    sizes = iter([(64, 48), (32, 24)])

    class Resized(ClipCamera):
        def __init__(self, path: Path) -> None:
            super().__init__(path)
            self.size = next(sizes)

        width_px = property(lambda self: self.size[0])
        height_px = property(lambda self: self.size[1])

    camera = ReplayCamera(lambda: Resized(clip), pace="fast", loop=True)
    pixels = picture()
    for _ in range(10):
        camera.read_into(pixels)
    with pytest.raises(ClipFault, match="the replayed clip is now 32x24 px, and was 64x48 px"):
        camera.read_into(pixels)


def test_closing_ends_a_wait(clip: Path) -> None:
    class Rare(ClipCamera):
        def read_into(self, pixels: np.ndarray) -> FrameInfo | None:
            info = super().read_into(pixels)
            return info and FrameInfo(info.sequence, info.sequence * 3600.0)

    camera = ReplayCamera(lambda: Rare(clip))
    pixels = picture()
    assert camera.read_into(pixels) is not None
    results = []
    reader = threading.Thread(target=lambda: results.append(camera.read_into(pixels)), daemon=True)
    reader.start()
    time.sleep(0.1)
    assert reader.is_alive()
    camera.close()
    reader.join(5)
    assert results == [None]
    camera.close()


@pytest.mark.parametrize("capture_rate_hz", [None, 100.0])
def test_the_shape_of_a_replayed_clips_pixels_is_known_to_the_service(
    capture_rate_hz: float | None, tmp_path: Path
) -> None:
    settings = EncodingSettings(64, 48, 25.0, Fraction(1, 25), pixel_aspect=Fraction(4, 3))
    with VideoWriter(tmp_path / "c.mp4", settings) as video:
        for number, frame in enumerate(textured_frames(3, 64, 48)):
            video.write(frame, number / 25)
    source = ClipSettings(kind="clip", path=tmp_path / "c.mp4", capture_rate_hz=capture_rate_hz)
    opener = CameraOpener(source, lambda: open_camera(source), tmp_path / "camera.json")
    opener.open().close()
    assert opener.pixel_aspect == pytest.approx(4 / 3)
