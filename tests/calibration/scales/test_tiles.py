"""Which tiles the network is run on, and how far it is made to magnify."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from tremorscope.calibration.pairs.calibration_set import CalibrationPair
from tremorscope.calibration.scales.tiles import Sampling, largest_displacement_px, samples_of
from tremorscope.model.evaluation.registration import ShiftedScene
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.runtime.engines.interface.manifest import AmplificationRange

RANGE = AmplificationRange(minimum=1, maximum=256)
SAMPLING = Sampling(tile_px=64, tiles_a_pair=4, margin_px=16)


@cache
def scene() -> ShiftedScene:
    return ShiftedScene(draw_picture(3, 256).astype(np.float64))


def filmed(moved_px: float, width_px: int, height_px: int) -> np.ndarray:
    picture = scene().shifted(moved_px, 0)[:height_px, :width_px]
    return np.ascontiguousarray(np.clip(np.rint(picture), 0, 255).astype(np.uint8))


def pair(moved_px: float, width_px: int = 200, height_px: int = 152) -> CalibrationPair:
    return CalibrationPair(filmed(moved_px, width_px, height_px), filmed(0, width_px, height_px), "dynamic")


def where(tile: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """Top and left of a tile in a picture of which every tile is unique."""
    side = tile.shape[0]
    rows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], side, axis=1)
    ((top, left),) = np.argwhere((rows == tile[0, :, 0]).all(axis=2))
    np.testing.assert_array_equal(tile, picture[top : top + side, left : left + side])
    return int(top), int(left)


def test_tiles_lie_on_whole_cells_and_margins_end_where_the_picture_does() -> None:
    rng = np.random.default_rng(0)
    picture, other = rng.integers(0, 256, (2, 152, 200, 3), dtype=np.uint8)
    seen = set()
    for index in range(12):
        for sample in samples_of(CalibrationPair(picture, other, "dynamic", 0.1), index, RANGE, SAMPLING):
            top, left = where(sample.frame, picture)
            assert where(sample.reference, other) == (top, left)
            assert (top % 8, left % 8) == (0, 0)
            assert sample.margins_px == (
                min(16, top), min(16, 152 - 64 - top), min(16, left), min(16, 200 - 64 - left),
            )  # fmt: skip
            seen.add((top, left))
    assert len(seen) > 20
    assert {0, 88} <= {top for top, _ in seen}, "the picture's edges are seen, too"


def test_only_what_is_inside_the_margins_is_looked_at() -> None:
    sample = replace(next(samples_of(pair(0.1), 0, RANGE, SAMPLING)), margins_px=(16, 0, 8, 4))
    tensor = np.arange(256, dtype=np.float32).reshape(1, 1, 16, 16)
    np.testing.assert_array_equal(sample.inner(tensor), tensor[:, :, 4:, 2:15])


def test_a_small_picture_is_its_own_tile() -> None:
    small = pair(0.1, 61, 35)
    for sample in samples_of(small, 0, RANGE, SAMPLING):
        np.testing.assert_array_equal(sample.frame, small.frame)
        assert sample.margins_px == (0, 0, 0, 0)


def test_amplification_covers_the_deployed_range_evenly() -> None:
    still = pair(0, 64, 64)
    found = [each.amplification for index in range(64) for each in samples_of(still, index, RANGE, SAMPLING)]
    counts, _ = np.histogram(np.log2(found), 8, (0, 8))
    assert counts.min() >= 28
    assert counts.max() <= 36


@pytest.mark.parametrize("moved_px", [0.05, 0.5, 1.5])
def test_displacement_is_seen_and_never_magnified_beyond_what_networks_learn(moved_px: float) -> None:
    moving = pair(moved_px)
    assert largest_displacement_px(moving.frame, moving.reference) == pytest.approx(moved_px, rel=0.25)
    for stated in (None, moved_px):
        given = replace(moving, displacement_px=stated)
        for index in range(8):
            for sample in samples_of(given, index, RANGE, SAMPLING):
                assert sample.amplification * moved_px < 30 * 1.25


def test_noise_alone_is_no_motion_to_be_held_back() -> None:
    rng = np.random.default_rng(0)
    base = filmed(0, 128, 128)
    frame, reference = (
        np.clip(base + rng.normal(0, 2, base.shape), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert largest_displacement_px(frame, reference) < 0.1


def test_the_same_pair_gives_the_same_samples() -> None:
    first, second = (list(samples_of(pair(0.3), 5, RANGE, SAMPLING)) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a.frame, b.frame)
        assert a.amplification == b.amplification
