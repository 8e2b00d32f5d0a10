"""The synthetic camera films what it says: known displacement, known noise, for ever, in constant memory."""

from __future__ import annotations

import functools
import itertools
import time
import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.cameras import canvas, footbridge
from tremorscope.runtime.cameras.synthetic import (
    FOOTBRIDGE_MODES,
    SyntheticCamera,
    SyntheticMode,
    SyntheticSettings,
)
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

BT601 = np.array([0.299, 0.587, 0.114])


def film(settings: SyntheticSettings, count: int) -> NDArray[np.uint8]:
    camera = SyntheticCamera(settings)
    frames = np.empty((count, settings.height_px, settings.width_px, 3), dtype=np.uint8)
    for frame in frames:
        assert camera.read_into(frame) is not None
    return frames


class TestDisplacement:
    def test_follows_the_mode_shapes_and_frequencies(self) -> None:
        settings = SyntheticSettings(modes=(SyntheticMode(2.0, 0.1, 1), SyntheticMode(6.0, 0.04, 2)))
        left, right = settings.supports_px
        quarter, middle = left + (right - left) / 4, (left + right) / 2
        # After an eighth of a second the first mode is at its crest, the second at its trough.
        assert settings.displacement_px(middle, 0.125) == pytest.approx(0.1)
        assert settings.displacement_px(quarter, 0.125) == pytest.approx(0.1 * np.sqrt(0.5) - 0.04)
        assert settings.displacement_px([left, right, 0, 639], 0.125) == pytest.approx([0] * 4, abs=1e-15)

    def test_of_the_demonstration_is_below_a_fifth_of_a_pixel(self) -> None:
        assert SyntheticSettings(modes=FOOTBRIDGE_MODES).largest_displacement_px < 0.2

    def test_in_the_pictures_is_the_true_one(self) -> None:
        settings = SyntheticSettings()
        camera = SyntheticCamera(settings)
        reference = camera.render(0.0).astype(np.float64) @ BT601
        for along in (0.15, 0.25, 0.5, 0.75):
            region = Region(*settings.girder_px(along))
            tracker = RegionTracker(reference, region, noise_sigma=1.0)
            columns = np.arange(region.x_px, region.x_px + region.width_px)
            for time_s in np.linspace(0.03, 0.9, 9):
                measured = tracker.measure(camera.render(time_s).astype(np.float64) @ BT601)
                true = settings.displacement_px(columns, time_s).mean()
                assert measured.y_px == pytest.approx(true, abs=0.002)

    @pytest.mark.parametrize("amplitude_px", [0.05, 0.2, 1.0])
    def test_is_rendered_exactly(self, amplitude_px: float) -> None:
        """Against the blur summed up at displaced positions, column by column: no series, no transform."""
        settings = SyntheticSettings(320, 180, modes=(SyntheticMode(2.0, amplitude_px),))
        picture = SyntheticCamera(settings).render(0.11)
        worst = max(
            float(np.abs(picture[:, x] - expected).max()) for x, expected in rendered_directly(settings, 0.11)
        )
        assert worst < 0.02


def rendered_directly(settings: SyntheticSettings, time_s: float):  # type: ignore[no-untyped-def]
    """(column, its exact pixels (H, 3)) for every 7th column."""
    sigma, fine = 0.6, canvas.OVERSAMPLING
    layers = footbridge.draw(settings.width_px, settings.height_px, settings.seed)
    blur = functools.partial(ndimage.gaussian_filter1d, mode="nearest", truncate=6)

    def across(drawing: NDArray[np.float32]) -> NDArray[np.float64]:
        return blur(drawing.astype(float), sigma * fine, axis=1)[:, ::fine]

    def at_rest(drawing: NDArray[np.float32]) -> NDArray[np.float64]:
        return blur(across(drawing), sigma * fine, axis=0)[::fine]

    background, water = at_rest(layers.background), at_rest(layers.water)
    structure, reflection = across(layers.structure), across(layers.reflection)
    target = np.arange(settings.height_px)[:, None]
    source = np.arange(structure.shape[0])[None, :] / fine
    for x in range(0, settings.width_px, 7):
        pixels = background[:, x].copy()
        d = float(settings.displacement_px(x, time_s))
        for layer, shift, shows in ((structure, d, np.ones(len(pixels))), (reflection, -d, water[:, x])):
            weights = np.exp(-0.5 * ((target - shift - source) / sigma) ** 2)
            moved = weights @ layer[:, x] / (sigma * np.sqrt(2 * np.pi) * fine)
            pixels += shows[:, None] * (moved[:, :3] - moved[:, 3:] * background[:, x])
        yield x, pixels


class TestFrames:
    def test_hold_the_stated_noise_around_the_exact_picture(self) -> None:
        settings = SyntheticSettings(320, 180, noise_sigma=2.0)
        camera = SyntheticCamera(settings)
        frames = film(settings, 4)
        errors = np.stack([frames[n] - camera.render(n / settings.rate_hz) for n in range(4)])
        mid_tones = (camera.render(0) > 20) & (camera.render(0) < 235)
        # Rounding to 8 bit adds a variance of 1/12.
        assert errors[:, mid_tones].std() == pytest.approx(np.sqrt(4 + 1 / 12), rel=0.01)
        assert abs(errors[:, mid_tones].mean()) < 0.02

    def test_reused_noise_is_as_strong_and_never_the_same_at_the_same_place(self) -> None:
        settings = SyntheticSettings(modes=(), noise_sigma=2.0, reuse_noise=True)
        still = SyntheticCamera(settings).render(0.0).copy()
        noise = film(settings, 40).astype(np.float32)[:, 20:120, 20:220] - still[20:120, 20:220]
        assert noise.std() == pytest.approx(np.sqrt(2.0**2 + 1 / 12), rel=0.01)
        alike = np.corrcoef(noise.reshape(40, -1)) - np.eye(40)
        # Of 60,000 independent values in each frame, the largest of 780 correlations is below 4.5 / sqrt(60,000).
        assert np.abs(alike).max() < 0.02
        assert np.array_equal(film(settings, 3), film(settings, 3))

    def test_without_noise_are_the_exact_picture_rounded(self) -> None:
        settings = SyntheticSettings(320, 180, noise_sigma=0.0)
        frames = film(settings, 3)
        exact = SyntheticCamera(settings).render(2 / settings.rate_hz)
        assert np.abs(frames[2] - exact).max() <= 0.5 + 1e-3 or exact.max() > 255

    def test_stand_still_outside_the_span(self) -> None:
        camera = SyntheticCamera(SyntheticSettings(320, 180, modes=(SyntheticMode(2.0, 0.5),)))
        left, right = (round(x) for x in camera.settings.supports_px)
        rest, moved = camera.render(0.0).copy(), camera.render(0.125)
        assert np.array_equal(rest[:, : left - 1], moved[:, : left - 1])
        assert np.array_equal(rest[:, right + 2 :], moved[:, right + 2 :])
        assert np.abs(rest[:15] - moved[:15]).max() < 0.01
        assert np.abs(rest - moved).max() > 20

    def test_depend_on_the_seed_and_the_frame_number_alone(self) -> None:
        first, again = film(SyntheticSettings(160, 90), 3), film(SyntheticSettings(160, 90), 3)
        assert np.array_equal(first, again)
        assert not np.array_equal(first[1], first[2])
        assert not np.array_equal(first, film(SyntheticSettings(160, 90, seed=2), 3))

    def test_carry_their_number_and_time(self) -> None:
        camera = SyntheticCamera(SyntheticSettings(64, 36, rate_hz=50.0))
        pixels = np.empty((36, 64, 3), dtype=np.uint8)
        infos = [camera.read_into(pixels) for _ in range(3)]
        assert infos == [FrameInfo(0, 0.0), FrameInfo(1, 0.02), FrameInfo(2, 0.04)]
        assert camera.nominal_rate_hz == 50.0

    @pytest.mark.parametrize(
        ("duration_s", "rate_hz", "count"), [(1.0, 30.0, 30), (0.1, 30.0, 3), (2.0, 29.97, 60)]
    )
    def test_end_with_the_duration(self, duration_s: float, rate_hz: float, count: int) -> None:
        camera = SyntheticCamera(SyntheticSettings(64, 36, rate_hz=rate_hz, duration_s=duration_s))
        pixels = np.empty((36, 64, 3), dtype=np.uint8)
        assert sum(1 for _ in iter(lambda: camera.read_into(pixels), None)) == count
        assert camera.read_into(pixels) is None
        camera.close()
        camera.close()

    def test_can_be_any_size(self) -> None:
        for width, height in ((64, 36), (641, 359), (100, 400)):
            assert film(SyntheticSettings(width, height), 1).std() > 20


@pytest.mark.alone
class TestCost:
    def test_memory_stays_the_same_however_long_it_films(self) -> None:
        camera = SyntheticCamera(SyntheticSettings(320, 180))
        pixels = np.empty((180, 320, 3), dtype=np.uint8)
        camera.read_into(pixels)
        tracemalloc.start()
        for _ in range(10):
            camera.read_into(pixels)
        early = tracemalloc.get_traced_memory()[0]
        for _ in range(200):
            camera.read_into(pixels)
        late = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert late - early < 4096

    def test_one_core_films_faster_than_thirty_frames_a_second(self) -> None:
        camera = SyntheticCamera()
        pixels = np.empty((360, 640, 3), dtype=np.uint8)

        def cpu_seconds() -> float:
            start = time.process_time()
            for _ in range(5):
                camera.read_into(pixels)
            return (time.process_time() - start) / 5

        assert min(cpu_seconds() for _ in range(4)) < 1 / 30


class TestBadSettings:
    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"width_px": 10}, "10x360"),
            ({"rate_hz": 0.0}, "rate 0.0 Hz"),
            ({"rate_hz": float("nan")}, "rate nan Hz"),
            ({"noise_sigma": -1.0}, "-1.0 grey levels"),
            ({"duration_s": 0.0}, "duration 0.0 s"),
            ({"modes": (SyntheticMode(15.0, 0.1),)}, "15.0 Hz cannot be seen at 30.0 frames a second"),
            ({"modes": (SyntheticMode(2.0, 0.1, half_waves=0),)}, "half_waves=0"),
            ({"modes": (SyntheticMode(2.0, float("inf")),)}, "inf"),
            ({"modes": (SyntheticMode(2.0, 0.9), SyntheticMode(3.0, -0.2))}, "1.1 px"),
        ],
    )
    def test_are_refused_with_value_and_remedy(self, settings: dict[str, object], message: str) -> None:
        with pytest.raises(OptionFault) as fault:
            SyntheticSettings(**settings)  # type: ignore[arg-type]
        assert message in str(fault.value)
        assert fault.value.remedy.startswith("choose")


def test_a_still_bridge_is_possible() -> None:
    camera = SyntheticCamera(SyntheticSettings(64, 36, modes=(), noise_sigma=0.0))
    pictures = [camera.render(t).copy() for t in (0.0, 0.3, 0.7)]
    assert all(np.array_equal(a, b) for a, b in itertools.pairwise(pictures))
