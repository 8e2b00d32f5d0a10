"""Regions are proposed where there is texture, spread over the picture."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import filmed, overlap, textured

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.proposal import (
    expected_quality,
    propose_regions,
    usual_side_px,
)
from tremorscope.runtime.vibration.displacement.regions import Region


def test_where_the_texture_is() -> None:
    rng = np.random.default_rng(0)
    scene = np.full((360, 640), 120.0)
    scene[60:220, 400:560] = textured()
    proposals = propose_regions(filmed(scene, rng), 4, side_px=64)
    assert 1 <= len(proposals) <= 4
    patch = Region(400, 60, 160, 160)
    assert all(overlap(each.region, patch) for each in proposals)
    assert proposals[0].both_directions


def test_over_the_whole_picture_where_all_of_it_has_texture() -> None:
    rng = np.random.default_rng(1)
    scene = filmed(np.tile(textured(), (3, 4))[:480, :640], rng)
    regions = [each.region for each in propose_regions(scene, 6, side_px=64)]
    assert len(regions) == 6
    assert not any(overlap(a, b) for a in regions for b in regions if a is not b)
    centres = np.array([region.centre_px for region in regions])
    # Every two as far apart as six even shares of the diagonal allow, so that they span the picture.
    apart_px = [np.hypot(*(a - b)) for i, a in enumerate(centres) for b in centres[:i]]
    assert min(apart_px) > 0.9 * 0.5 * np.hypot(640, 480) / np.sqrt(6)
    assert min(np.ptp(centres, axis=0)) > 300


def test_of_an_edge_only_where_there_is_nothing_better() -> None:
    rng = np.random.default_rng(2)
    scene = np.full((200, 400), 80.0)
    scene[:, 100:110] = 160
    (first, *_) = propose_regions(filmed(scene, rng), 2, side_px=48)
    assert not first.both_directions
    assert first.region.x_px <= 100 <= first.region.x_px + 48


def test_predicts_the_noise_floor() -> None:
    rng = np.random.default_rng(3)
    scene = filmed(np.tile(textured(exponent=1.5), (2, 2)), rng)
    (proposal,) = propose_regions(scene, 1, side_px=64, noise_sigma=1.0)
    tracker = RegionTracker(scene, proposal.region, 1.0)
    assert proposal.noise_floor_px == pytest.approx(
        max(tracker.noise_floor_x_px, tracker.noise_floor_y_px), rel=0.5
    )


def test_leaves_out_what_is_taken() -> None:
    rng = np.random.default_rng(4)
    taken = Region(0, 0, 160, 320)
    proposals = propose_regions(filmed(np.tile(textured(), (2, 2)), rng), 8, side_px=48, taken=(taken,))
    assert len(proposals) == 8
    assert not any(overlap(each.region, taken) for each in proposals)


@pytest.mark.parametrize("picture", [np.full((240, 320), 90.0), np.linspace(0, 255, 320) * np.ones((240, 1))])
def test_of_a_blank_wall_is_a_fault(picture: np.ndarray) -> None:
    noisy = filmed(0.9 * picture, np.random.default_rng(5))
    with pytest.raises(OptionFault, match="no part of the picture has texture"):
        propose_regions(noisy, 4)


def test_sides_suit_the_picture() -> None:
    assert [usual_side_px(*size) for size in ((1920, 1080), (640, 420), (280, 280), (64, 48), (20, 18))] == [
        64, 64, 48, 24, 18,
    ]  # fmt: skip


def test_the_quality_of_a_region_is_that_of_a_meter_that_begins_with_these_frames() -> None:
    rng, scene = np.random.default_rng(0), textured()
    frames = [filmed(scene, rng) for _ in range(4)]
    for region in (Region(40, 60, 64, 48), Region(10, 10, 16, 24)):
        meter = MotionMeter(frames[0], [region])
        meter.learn_noise(frames)
        found = expected_quality(frames, region, meter.followers[0].tracker.noise_sigma)
        floors_px = found.noise_floor_x_px, found.noise_floor_y_px
        assert floors_px == pytest.approx(tuple(meter.noise_floors_px[0]), rel=0.02)
        assert found.trouble == found.remark == ""


def test_the_quality_of_what_cannot_be_measured_is_a_reason() -> None:
    rng = np.random.default_rng(0)
    stripes = np.tile(np.linspace(40, 200, 128) // 40 * 40, (700, 6))
    frames = [filmed(stripes, rng) for _ in range(3)]
    along_one = expected_quality(frames, Region(64, 30, 64, 64), 1.0)
    assert (along_one.noise_floor_x_px < 0.01, along_one.noise_floor_y_px) == (True, np.inf)
    assert "reaches outside" in expected_quality(frames, Region(760, 0, 64, 64), 1.0).trouble
    blank = [filmed(np.full((100, 100), 90.0), rng) for _ in range(3)]
    assert "no texture" in expected_quality(blank, Region(10, 10, 64, 64), 1.0).trouble
    large = expected_quality(frames, Region(0, 0, 700, 600), 1.0)
    assert large.remark.startswith("judged by its middle; a region of over 256 px")
    assert large.noise_floor_x_px < along_one.noise_floor_x_px / 3
