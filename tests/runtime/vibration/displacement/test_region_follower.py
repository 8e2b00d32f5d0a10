"""A region is followed through changes of scene, and its reference renewed without a step."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import SIDE, Picture, filmed, shifted, textured
from scipy import ndimage

from tremorscope.runtime.vibration.displacement.region_follower import RefreshPolicy, RegionFollower, is_lost
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault

REGION = Region(48, 48, 64, 64)


def followed(follower: RegionFollower, pictures: list[Picture]) -> np.ndarray:
    return np.array([(found.x_px, found.y_px) for found in map(follower.measure, pictures)])


class TestRefresh:
    def test_makes_no_step(self) -> None:
        rng = np.random.default_rng(0)
        scene = textured()
        true = 0.3 * np.sin(np.arange(300) / 7)
        follower = RegionFollower(
            filmed(scene, rng), REGION, 1.0, RefreshPolicy(every_frames=60, overlap_frames=12)
        )
        measured = followed(follower, [filmed(shifted(scene, x, 0), rng) for x in true])
        assert follower.refreshes == 4
        error = measured[:, 0] - true
        floor = follower.noise_floor_px[0]
        pieces = [error[start : start + 70].mean() for start in range(0, 280, 70)]
        assert np.abs(np.diff(pieces)).max() < 1.5 * floor
        assert error.std() < 1.5 * floor

    def test_follows_drift_far_beyond_what_one_reference_reaches(self) -> None:
        rng = np.random.default_rng(1)
        scene = textured()
        true = np.linspace(0, 60, 400)
        follower = RegionFollower(filmed(scene, rng), REGION, 1.0)
        measured = followed(follower, [filmed(shifted(scene, x, -0.5 * x), rng) for x in true])
        assert follower.refreshes >= 5
        assert np.abs(measured[:, 0] - true).max() < 0.05
        assert np.abs(measured[:, 1] + 0.5 * true).max() < 0.05

    def test_comes_when_the_scene_slowly_becomes_another(self) -> None:
        rng = np.random.default_rng(2)
        old, new = textured(0), textured(1)
        follower = RegionFollower(filmed(old, rng), REGION, 1.0)
        shares = np.linspace(0, 1, 900)
        measured = followed(follower, [filmed((1 - s) * old + s * new, rng) for s in shares])
        assert follower.refreshes >= 2
        assert np.isfinite(measured).all()
        assert np.abs(measured).max() < 0.5
        # It is renewed once a tenth of the explained variance is lost, seen through a memory of 50 frames.
        assert follower.measure(filmed(new, rng)).quality > 0.85

    def test_does_not_come_while_the_region_is_covered(self) -> None:
        rng = np.random.default_rng(3)
        follower = RegionFollower(textured(0), REGION, 1.0, RefreshPolicy(every_frames=5))
        covered = [follower.measure(filmed(textured(9), rng)) for _ in range(40)]
        assert all(is_lost(found) for found in covered)
        assert follower.refreshes == 0
        back = follower.measure(filmed(textured(0), rng))
        assert not is_lost(back)
        assert (back.x_px, back.y_px) == pytest.approx((0, 0), abs=0.02)


class TestNoise:
    def test_is_learned_from_what_frames_leave_unexplained(self) -> None:
        rng = np.random.default_rng(4)
        scene = textured()
        follower = RegionFollower(filmed(scene, rng, 6.0), REGION, 0.5)
        follower.learn_noise([filmed(scene, rng, 6.0) for _ in range(8)])
        assert follower.tracker.noise_sigma == pytest.approx(6.0, rel=0.1)
        found = [follower.tracker.measure(filmed(scene, rng, 6.0)).x_px for _ in range(200)]
        assert follower.noise_floor_px[0] == pytest.approx(np.std(found), rel=0.2)

    def test_gives_up_the_direction_along_an_edge(self) -> None:
        rng = np.random.default_rng(5)
        mast = np.full((SIDE, SIDE), 60.0)
        mast[:, 76:84] = 180
        # What looks like texture along the mast is another in every frame.
        follower = RegionFollower(filmed(mast, rng, 2.5), REGION, 0.3)
        moved = [filmed(mast, rng, 2.5) for _ in range(8)]
        assert np.isfinite(follower.noise_floor_px).all()
        follower.learn_noise(moved)
        assert np.isfinite(follower.noise_floor_px[0])
        assert np.isinf(follower.noise_floor_px[1])

    def test_of_a_region_that_never_holds_still_is_a_fault(self) -> None:
        follower = RegionFollower(textured(0), REGION, 1.0)
        with pytest.raises(RegionFault, match="region 64x64"):
            follower.learn_noise([textured(seed) for seed in range(1, 9)])

    def test_far_motion_is_not_taken_for_noise(self) -> None:
        rng = np.random.default_rng(6)
        scene = textured()
        follower = RegionFollower(filmed(scene, rng), REGION, 1.0)
        places = 20 * np.sin(np.arange(12))
        follower.learn_noise([filmed(shifted(scene, place, 0), rng) for place in places])
        assert follower.tracker.noise_sigma == pytest.approx(1.0, rel=0.3)

    def test_the_reason_is_a_blurred_reference_where_it_is_one(self) -> None:
        rng = np.random.default_rng(7)
        blurred = ndimage.gaussian_filter(textured(exponent=0.6), 6, mode="wrap")
        follower = RegionFollower(filmed(blurred, rng, 0.5), REGION, 0.3)
        with pytest.raises(RegionFault, match=r"reference frame is blurred.*--reference auto"):
            follower.learn_noise([filmed(textured(exponent=0.6), rng, 0.5) for _ in range(6)])

    def test_the_reason_is_uneven_light_where_it_is_that(self) -> None:
        rng = np.random.default_rng(8)
        scene, rows = 128 + 0.15 * (textured(exponent=1.5) - 128), np.arange(SIDE)[:, None]
        follower = RegionFollower(filmed(scene, rng), REGION, 1.0)
        bands = [scene * (1 + 0.3 * np.sin(rows / 6 + 1.7 * number)) for number in range(8)]
        with pytest.raises(RegionFault, match="light across it changes"):
            follower.learn_noise([filmed(band, rng) for band in bands])


def test_motion_beyond_the_search_is_followed() -> None:
    rng = np.random.default_rng(9)
    scene = textured()
    follower = RegionFollower(filmed(scene, rng), REGION, 1.0, RefreshPolicy(beyond_px=1000))
    for number in range(30):
        place = 1.3 * number
        found = follower.measure(filmed(shifted(scene, place, 0), rng))
        assert found.x_px == pytest.approx(place, abs=0.05)
