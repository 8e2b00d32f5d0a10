"""Displacement of a region: how exact, how robust, how sure of itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import SIDE, filmed, shifted, textured

from tremorscope.runtime.vibration.displacement.estimator import Displacement, RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import estimate_noise_sigma, luma

REGION = Region(48, 48, 64, 64)


class TestAccuracy:
    @pytest.mark.parametrize("exponent", [0.5, 1.0, 1.5], ids=["fine", "natural", "soft"])
    @pytest.mark.parametrize("d_px", [0.02, 0.2, 0.5, 2.0, 7.3])
    def test_under_noise_the_error_is_below_0_01_px(self, exponent: float, d_px: float) -> None:
        rng = np.random.default_rng(1)
        scene = textured(exponent=exponent)
        moved = shifted(scene, d_px, -0.6 * d_px)
        errors = []
        for _ in range(40):
            measured = RegionTracker(filmed(scene, rng), REGION).measure(filmed(moved, rng))
            errors.append((measured.x_px - d_px, measured.y_px + 0.6 * d_px))
        assert np.sqrt(np.mean(np.square(errors), axis=0)).max() < 0.01

    @pytest.mark.parametrize("d_px", [0.02, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 1.4, 2.0])
    def test_on_average_it_is_true_within_two_percent(self, d_px: float) -> None:
        rng = np.random.default_rng(2)
        scene = textured(exponent=0.5)
        moved = shifted(scene, d_px, d_px)
        sums = np.zeros(2)
        for _ in range(300):
            measured = RegionTracker(filmed(scene, rng), REGION, noise_sigma=1.0).measure(filmed(moved, rng))
            sums += (measured.x_px, measured.y_px)
        assert sums / 300 == pytest.approx([d_px, d_px], rel=0.02)

    @settings(max_examples=60, deadline=None)
    @given(st.floats(-12, 12), st.floats(-12, 12), st.integers(0, 20))
    def test_without_noise_it_is_exact_to_0_001_px_up_to_12_px(self, x: float, y: float, seed: int) -> None:
        scene = textured(seed)
        measured = RegionTracker(scene, REGION, noise_sigma=0.3).measure(shifted(scene, x, y))
        assert measured.converged
        assert (measured.x_px, measured.y_px) == (pytest.approx(x, abs=1e-3), pytest.approx(y, abs=1e-3))

    def test_of_a_still_picture_is_zero(self) -> None:
        measured = RegionTracker(textured(), REGION).measure(textured())
        assert (measured.x_px, measured.y_px, measured.quality) == pytest.approx((0, 0, 1), abs=1e-9)

    def test_depends_on_the_frame_alone_not_on_what_came_before(self) -> None:
        scene = textured()
        tracker = RegionTracker(scene, REGION)
        small, large = shifted(scene, 0.1, 0.2), shifted(scene, -9.0, 8.0)
        first = tracker.measure(small)
        tracker.measure(large)
        assert tracker.measure(small) == first

    def test_takes_rgb_frames_as_well(self) -> None:
        rng = np.random.default_rng(3)
        grey = np.repeat(filmed(textured(), rng)[..., None], 3, axis=2).astype(np.uint8)
        moved = np.repeat(filmed(shifted(textured(), 0.4, -0.3), rng)[..., None], 3, axis=2).astype(np.uint8)
        from_rgb = RegionTracker(grey, REGION, 1.0).measure(moved)
        from_luma = RegionTracker(luma(grey), REGION, 1.0).measure(luma(moved))
        assert (from_rgb.x_px, from_rgb.y_px) == pytest.approx((from_luma.x_px, from_luma.y_px), abs=1e-9)

    @pytest.mark.parametrize("corner", [(0, 0), (SIDE - 64, SIDE - 64)])
    def test_holds_at_the_edge_of_the_picture(self, corner: tuple[int, int]) -> None:
        tracker = RegionTracker(textured(), Region(*corner, 64, 64), 1.0)
        measured = tracker.measure(shifted(textured(), 0.3, -0.2))
        assert (measured.x_px, measured.y_px) == pytest.approx((0.3, -0.2), abs=0.02)


class TestLight:
    @settings(max_examples=40, deadline=None)
    @given(st.floats(0.7, 1.3), st.floats(-20, 20), st.floats(-1, 1))
    def test_flicker_does_not_pass_for_motion(self, gain: float, offset: float, d_px: float) -> None:
        scene = textured()
        measured = RegionTracker(scene, REGION, 1.0).measure(gain * shifted(scene, d_px, 0.0) + offset)
        assert (measured.x_px, measured.y_px) == (pytest.approx(d_px, abs=1e-3), pytest.approx(0, abs=1e-3))
        assert measured.gain == pytest.approx(gain, abs=2e-3)
        assert measured.offset == pytest.approx(offset, abs=0.5)

    @pytest.mark.parametrize(("exponent", "limit_px"), [(0.5, 4e-4), (1.0, 1.2e-3), (1.5, 5e-3)])
    def test_flicker_of_a_lamp_on_one_side_hardly_moves_anything(
        self, exponent: float, limit_px: float
    ) -> None:
        scene = textured(exponent=exponent)
        across = np.linspace(-1, 1, SIDE)[None, :]
        tracker = RegionTracker(scene, REGION, 1.0)
        for strength in (-0.04, 0.02, 0.04):
            measured = tracker.measure(scene * (1 + strength * (1 + across)))
            assert np.hypot(measured.x_px, measured.y_px) < limit_px

    def test_flicker_is_no_obstacle_to_finding_a_long_way(self) -> None:
        scene = textured()
        measured = RegionTracker(scene, REGION, 1.0).measure(0.6 * shifted(scene, 11.3, -9.8) + 30)
        assert (measured.x_px, measured.y_px) == pytest.approx((11.3, -9.8), abs=2e-3)


class TestSelfKnowledge:
    @pytest.mark.parametrize("exponent", [0.5, 1.5])
    def test_noise_floor_is_the_spread_of_repeated_measurements(self, exponent: float) -> None:
        rng = np.random.default_rng(4)
        scene = textured(exponent=exponent)
        tracker = RegionTracker(scene, REGION, noise_sigma=2.0)
        found = [tracker.measure(filmed(scene, rng, 2.0)) for _ in range(300)]
        assert np.std([m.x_px for m in found]) == pytest.approx(tracker.noise_floor_x_px, rel=0.15)
        assert np.std([m.y_px for m in found]) == pytest.approx(tracker.noise_floor_y_px, rel=0.15)

    def test_noise_is_estimated_from_the_flat_parts_of_the_reference(self) -> None:
        rng = np.random.default_rng(5)
        scene = textured()
        scene[:, :70] = np.linspace(60, 200, 70)
        for sigma in (0.5, 1.0, 3.0):
            true = np.sqrt(sigma**2 + 1 / 12)
            assert estimate_noise_sigma(filmed(scene, rng, sigma)) == pytest.approx(true, rel=0.15)

    def test_noise_is_never_estimated_below_that_of_rounding(self) -> None:
        assert estimate_noise_sigma(np.full((64, 64), 255.0)) == pytest.approx(0.2887, abs=1e-4)
        assert estimate_noise_sigma(np.full((8, 8), 17.0)) == pytest.approx(0.2887, abs=1e-4)

    def test_residual_is_the_noise_of_both_frames(self) -> None:
        rng = np.random.default_rng(6)
        scene = textured(exponent=1.5)
        measured = RegionTracker(filmed(scene, rng), REGION).measure(filmed(scene, rng))
        assert measured.residual == pytest.approx(np.sqrt(2 * (1 + 1 / 12)), rel=0.1)
        assert measured.quality > 0.99

    def test_quality_falls_to_nothing_where_the_content_is_gone(self) -> None:
        tracker = RegionTracker(textured(0), REGION)
        assert tracker.measure(textured(7)).quality < 0.5
        assert tracker.measure(np.full((SIDE, SIDE), 128.0)).quality == 0.0

    def test_along_an_edge_the_noise_floor_is_infinite_and_across_it_motion_is_measured(self) -> None:
        rows = np.arange(SIDE)[:, None]
        beams = np.broadcast_to(128 + 60 * np.tanh((rows - 80) / 2), (SIDE, SIDE))
        lowered = np.broadcast_to(128 + 60 * np.tanh((rows - 80.3) / 2), (SIDE, SIDE))
        tracker = RegionTracker(beams, REGION, 1.0)
        measured = tracker.measure(lowered)
        assert tracker.noise_floor_x_px == np.inf
        assert tracker.noise_floor_y_px < 0.01
        assert (measured.x_px, measured.y_px) == pytest.approx((0, 0.3), abs=2e-3)


class TestRegion:
    @pytest.mark.parametrize(
        ("region", "what"),
        [
            (Region(-1, 0, 64, 64), "outside the picture of 160x160"),
            (Region(100, 0, 64, 64), "outside the picture of 160x160"),
            (Region(0, 100, 64, 64), "outside the picture of 160x160"),
            (Region(0, 0, 7, 64), "too small"),
            (Region(0, 0, 64, -3), "too small"),
        ],
    )
    def test_that_does_not_fit_is_refused(self, region: Region, what: str) -> None:
        with pytest.raises(RegionFault, match=what) as fault:
            RegionTracker(textured(), region)
        assert str(region) in str(fault.value)
        assert fault.value.remedy

    @pytest.mark.parametrize("level", [0.0, 128.0, 255.0])
    def test_without_texture_is_refused(self, level: float) -> None:
        with pytest.raises(RegionFault, match="no texture"):
            RegionTracker(np.full((SIDE, SIDE), level), REGION)

    def test_of_pure_noise_is_refused(self) -> None:
        noise = filmed(np.full((SIDE, SIDE), 128.0), np.random.default_rng(9))
        with pytest.raises(RegionFault, match="no texture"):
            RegionTracker(noise, Region(40, 40, 16, 16))

    def test_frames_of_another_size_are_refused(self) -> None:
        tracker = RegionTracker(textured(), REGION)
        with pytest.raises(RegionFault, match="80x160 px for a reference of 160x160"):
            tracker.measure(textured()[:, :80])


def test_luma_is_that_of_bt601() -> None:
    pure = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]], dtype=np.uint8)
    assert luma(pure) == pytest.approx(np.array([[76.245, 149.685, 29.07, 255.0]]))


def test_a_displacement_is_a_plain_value() -> None:
    value = Displacement(1.0, 2.0, 1.0, 0.0, 0.5, 0.99, True)
    with pytest.raises(AttributeError):
        value.x_px = 3.0  # type: ignore[misc]
