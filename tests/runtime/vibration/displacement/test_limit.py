"""The meter beside what is possible: the Cramer-Rao bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from limit import PLACES_PX, REGION, SIGMA, TEXTURES, bound_px, errors_px, spread_over_bound
from scenes import filmed, shifted, textured

from tremorscope.runtime.cameras.deep_v4l2 import grey_table
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.region_follower import RefreshPolicy, RegionFollower

_TEXTURES = list(TEXTURES)


@pytest.mark.parametrize("texture", _TEXTURES)
def test_between_two_noisy_pictures_it_is_within_1_15_of_the_bound(texture: str) -> None:
    rng, scene = np.random.default_rng(1), textured(2, TEXTURES[texture])
    errors = errors_px(scene, 0.5, 150, lambda picture: filmed(picture, rng), SIGMA)
    spread = errors.std(axis=0, ddof=1) / bound_px(scene, REGION, math.sqrt(2) * SIGMA)
    assert 0.85 < np.sqrt(np.mean(spread**2)) < 1.15
    assert np.abs(errors.mean(axis=0)) == pytest.approx(0, abs=3 * errors.std() / math.sqrt(150) + 5e-4)


@pytest.mark.parametrize("texture", _TEXTURES)
def test_without_noise_the_bias_is_below_0_0005_px(texture: str) -> None:
    scene = textured(0, TEXTURES[texture])
    tracker = RegionTracker(scene, REGION, SIGMA)
    for place_px in PLACES_PX:
        found = tracker.measure(shifted(scene, place_px, -place_px))
        assert (found.x_px, found.y_px) == pytest.approx((place_px, -place_px), abs=5e-4)


@pytest.mark.parametrize("texture", _TEXTURES)
def test_the_bound_is_told(texture: str) -> None:
    scene = textured(3, TEXTURES[texture])
    tracker = RegionTracker(filmed(scene, np.random.default_rng(2)), REGION, SIGMA)
    assert tracker.bound_px == pytest.approx(bound_px(scene, REGION, SIGMA), rel=0.05)
    assert tracker.bound_px[0] <= tracker.noise_floor_x_px <= 1.15 * tracker.bound_px[0]


def test_a_mean_of_frames_as_the_reference_lowers_the_floor_under_much_noise() -> None:
    one, mean = (spread_over_bound("soft", 6.0, averaged, 6) for averaged in (False, True))
    assert mean < 1.1
    assert mean < one


def test_twelve_bits_are_worth_a_third_where_noise_is_below_rounding() -> None:
    """At noise of 0.25 grey levels rounding to 8 bit adds 0.29: sqrt(0.25^2 + 0.29^2) / 0.25 is 1.53."""
    rng, scene = np.random.default_rng(3), textured(4)
    moved = shifted(scene, 0.5, -0.5)
    table = grey_table(12)
    spreads = []
    for deep in (False, True):
        tracker = RegionTracker(scene, REGION, 0.25)
        noisy = [moved + 0.25 * rng.standard_normal(moved.shape) for _ in range(100)]
        # As a live camera of 12 bits hands frames over, and as one of 8 does.
        seen = [table[np.rint(each * 4095 / 255).astype(int)] if deep else np.rint(each) for each in noisy]
        found = [tracker.measure(each) for each in seen]
        spreads.append(np.std([(each.x_px, each.y_px) for each in found], axis=0).mean())
    assert spreads[1] < 0.72 * spreads[0]


def test_forty_new_references_make_neither_step_nor_drift() -> None:
    rng, scene = np.random.default_rng(4), textured()
    follower = RegionFollower(filmed(scene, rng), REGION, SIGMA, RefreshPolicy(every_frames=2))
    follower.average_reference([filmed(scene, rng) for _ in range(8)])
    found = np.array([follower.measure(filmed(scene, rng)).x_px for _ in range(40 * 14 + 30)])
    assert follower.refreshes >= 40
    pieces = found[: 42 * 14].reshape(42, 14).mean(axis=1)
    floor = follower.noise_floor_px[0]
    assert np.abs(np.diff(pieces)).max() < 1.2 * floor  # 14 frames each: 0.38 floors are noise alone
    assert abs(pieces[-5:].mean() - pieces[:5].mean()) < floor
