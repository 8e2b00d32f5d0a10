"""Error that compression leaves, by the picture's slopes and the coder's quantiser."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import textured

from tremorscope.runtime.cameras.clip_coding import ClipCoding
from tremorscope.runtime.vibration.displacement.coding_loss import coding_errors_px
from tremorscope.runtime.vibration.displacement.regions import Region

WHOLE = Region(0, 0, 64, 64)


def errors_px(picture: np.ndarray, quantiser: float = 28.0) -> np.ndarray:
    coding = ClipCoding("h264", 100, 0.01, True, 250, 1, np.full((4, 4), quantiser))
    return np.array(coding_errors_px(picture.astype(np.float32), [WHOLE], coding)[0])


def test_in_texture_each_axis_costs_what_its_own_slope_says() -> None:
    picture = textured(1)[:64, :64]
    down, right = (np.sqrt(np.mean(each**2)) for each in np.gradient(picture))
    assert errors_px(picture) == pytest.approx(0.05 * 2**4 / np.array([right, down]), rel=0.1)
    assert errors_px(picture, 34.0) == pytest.approx(2 * errors_px(picture), rel=1e-3)


@pytest.mark.parametrize("angle_deg", [20, 45, 70])
def test_along_an_edge_next_to_nothing_holds_the_coder(angle_deg: float) -> None:
    """A slope of the edge is a slope along x and along y, but of one direction alone: it was taken for both."""
    angle, (y, x) = np.radians(angle_deg), np.mgrid[:64, :64] - 31.5
    edge = 128 + 100 * np.tanh((np.cos(angle) * y - np.sin(angle) * x) / 2)
    weak = textured(1)[:64, :64] - 128
    error_px, of_texture_px = errors_px(edge + 0.1 * weak), errors_px(128 + 0.1 * weak)
    along = np.abs([np.cos(angle), np.sin(angle)]) * of_texture_px.mean()
    assert error_px == pytest.approx(along, rel=0.3)
    assert np.all(errors_px(edge) > 1.0)


def test_stripes_hold_across_and_not_along() -> None:
    """Nothing but slopes along x: they count as they are, and along y the least slope of any picture does."""
    stripes = np.tile(128 + 20 * np.sin(np.arange(64) / 3), (64, 1))
    slope = np.sqrt(np.mean(np.gradient(stripes)[1] ** 2))
    assert errors_px(stripes) == pytest.approx([0.05 * 2**4 / slope, 0.05 * 2**4 / 0.01], rel=0.02)
