"""All regions of a camera, free of the camera's own shake."""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture
from scenes import SIDE, filmed, shifted, textured

from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault


def two_part_scene(still: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """The moving part on the right half, the still one on the left."""
    picture = still.copy()
    picture[:, SIDE // 2 :] = moving[:, SIDE // 2 :]
    return picture


class TestShake:
    def test_is_removed_by_a_still_region(self) -> None:
        rng = np.random.default_rng(0)
        ground, mast = textured(0), textured(1)
        meter = MotionMeter(
            filmed(two_part_scene(ground, mast), rng), [Region(92, 40, 56, 80)], [Region(8, 40, 56, 80)]
        )
        times = np.arange(60)
        shake = 0.8 * np.sin(times / 3)
        sway = 0.15 * np.sin(times / 5)
        found = []
        for camera, structure in zip(shake, sway, strict=True):
            picture = two_part_scene(
                shifted(ground, camera, -camera), shifted(mast, camera + structure, -camera)
            )
            found.append(meter.measure(filmed(picture, rng))[0])
        assert [motion.x_px for motion in found] == pytest.approx(sway, abs=0.02)
        assert [motion.y_px for motion in found] == pytest.approx(0 * sway, abs=0.02)

    def test_of_roll_and_zoom_is_removed_by_two(self) -> None:
        scene = textured(2)
        corners = [Region(4, 4, 40, 40), Region(116, 116, 40, 40)]
        middle, side = Region(60, 60, 40, 40), Region(116, 4, 40, 40)
        meter = MotionMeter(scene, [middle, side], corners)
        rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float64)
        angle, zoom = 0.004, 1.003
        from scipy import ndimage

        x, y = columns - 79.5, rows - 79.5
        source_x = (np.cos(angle) * x + np.sin(angle) * y) / zoom + 79.5
        source_y = (-np.sin(angle) * x + np.cos(angle) * y) / zoom + 79.5
        turned = ndimage.map_coordinates(scene, [source_y, source_x], order=5, mode="grid-wrap")
        for motion in meter.measure(turned):
            assert (motion.x_px, motion.y_px) == pytest.approx((0, 0), abs=0.03)

    def test_adds_the_still_regions_noise(self) -> None:
        scene = textured()
        alone = MotionMeter(scene, [Region(92, 48, 64, 64)])
        shaken = MotionMeter(scene, [Region(92, 48, 64, 64)], [Region(4, 48, 64, 64)])
        assert shaken.noise_floors_px == pytest.approx(np.sqrt(2) * alone.noise_floors_px, rel=0.3)

    def test_is_unknown_while_the_still_region_is_covered(self) -> None:
        rng = np.random.default_rng(1)
        scene = textured(0)
        meter = MotionMeter(scene, [Region(92, 48, 64, 64)], [Region(8, 48, 64, 64)])
        covered = scene.copy()
        covered[:, :80] = textured(7)[:, :80]
        assert meter.measure(filmed(covered, rng))[0].lost
        assert not meter.measure(filmed(scene, rng))[0].lost

    def test_needs_a_still_region_with_texture_along_both_axes(self) -> None:
        scene = textured()
        scene[:, :70] = 60 + 100 * (np.arange(70) > 35)
        with pytest.raises(RegionFault, match=r"still region.*along y"):
            MotionMeter(scene, [Region(92, 48, 64, 64)], [Region(4, 48, 64, 64)])


def test_a_lost_region_says_so() -> None:
    meter = MotionMeter(textured(0), [Region(48, 48, 64, 64)])
    (motion,) = meter.measure(textured(5))
    assert motion.lost
    assert np.isnan(motion.y_px)


def test_light_is_told() -> None:
    scene = textured()
    (motion,) = MotionMeter(scene, [Region(48, 48, 64, 64)]).measure(0.8 * scene + 10)
    assert motion.gain == pytest.approx(0.8, abs=0.01)
    assert motion.brightness == pytest.approx(0.8 + 10 / 128, abs=0.01)


@pytest.mark.benchmark(group="displacement")
def test_cost_of_twenty_regions_of_64x64_in_a_full_hd_frame(benchmark: BenchmarkFixture) -> None:
    """The aim is under 10 ms a frame on one core; a busy machine says little, so nothing is asserted."""
    rng = np.random.default_rng(8)
    scenes = (textured(), shifted(textured(), 0.1, -0.15))
    reference, frame = (
        np.repeat(filmed(np.tile(scene, (7, 12))[:1080, :1920], rng)[..., None], 3, axis=2).astype(np.uint8)
        for scene in scenes
    )
    meter = MotionMeter(reference, [Region(90 * k, 50 * k, 64, 64) for k in range(20)])
    found = benchmark(meter.measure, frame)
    assert [motion.x_px for motion in found] == pytest.approx([0.1] * 20, abs=0.02)
