"""What each view shows, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.frames.frame import VIEWS, View, ViewComposer


def compose(view: View, frame: np.ndarray, magnified: np.ndarray) -> np.ndarray:
    picture = np.full_like(frame, 77)
    height_px, width_px = frame.shape[:2]
    ViewComposer(view, width_px=width_px, height_px=height_px).compose(frame, magnified, picture)
    return picture


def flat(value: int, width_px: int = 64) -> np.ndarray:
    return np.full((16, width_px, 3), value, np.uint8)


def test_magnified_shows_the_magnified_frame_alone() -> None:
    assert np.unique(compose("magnified", flat(10), flat(200))).tolist() == [200]


@pytest.mark.parametrize("width_px", [16, 17, 64, 641])
def test_split_shows_the_left_half_as_filmed_and_the_right_half_magnified(width_px: int) -> None:
    row = compose("split", flat(10, width_px), flat(200, width_px))[5, :, 0].tolist()
    half = width_px // 2
    assert row == [10] * (half - 1) + [0, 255] + [200] * (width_px - half - 1)


def test_the_divider_is_two_pixels_wide_in_4k_lines() -> None:
    row = compose("split", flat(10, 3840), flat(200, 3840))[0, :, 0]
    assert np.flatnonzero(row == 0).tolist() == list(range(1916, 1920))
    assert np.flatnonzero(row == 255).tolist() == list(range(1920, 1924))


def test_difference_is_grey_plus_half_the_difference_for_every_pair_of_values() -> None:
    frame, magnified = np.meshgrid(np.arange(256), np.arange(256))
    frame, magnified = (np.repeat(a[..., None], 3, axis=2).astype(np.uint8) for a in (frame, magnified))
    expected = np.floor(128 + (magnified.astype(float) - frame) / 2)
    assert (expected.min(), expected.max()) == (0, 255)
    np.testing.assert_array_equal(compose("difference", frame, magnified), expected)


def test_no_view_changes_its_sources() -> None:
    for view in VIEWS:
        frame, magnified = flat(10), flat(200)
        compose(view, frame, magnified)
        assert (int(frame.max()), int(magnified.min())) == (10, 200)
