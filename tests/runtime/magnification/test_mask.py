"""Regions of interest as a mask over cells."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.cropped import cell_mask
from tremorscope.runtime.vibration.displacement.regions import Region

SIZE = {"width_px": 101, "height_px": 62, "cell_px": 4}


def test_without_regions_everything_is_magnified() -> None:
    mask = cell_mask((), **SIZE, feather_px=16)
    assert mask.shape == (16, 26)
    assert mask.dtype == np.float32
    assert mask.min() == 1


def test_it_is_one_within_nothing_beyond_the_feather_and_falls_between() -> None:
    mask = cell_mask((Region(40, 20, 20, 20),), **SIZE, feather_px=16)
    assert mask[5:10, 10:15].min() == 1
    row = mask[7]
    assert row[15:20] == pytest.approx([0.962, 0.691, 0.309, 0.038, 0.0], abs=1e-3)
    assert mask[7, 5:10] == pytest.approx(row[15:20][::-1], abs=1e-6)
    assert row[20:].max() == 0
    assert np.abs(np.diff(mask, axis=0)).max() < 0.4
    assert np.abs(np.diff(mask, axis=1)).max() < 0.4


def test_without_a_feather_the_region_ends_sharply() -> None:
    mask = cell_mask((Region(40, 20, 20, 20),), **SIZE, feather_px=0)
    assert set(np.unique(mask)) == {0.0, 1.0}
    assert mask.sum() == 5 * 5


def test_of_several_regions_each_counts() -> None:
    left, right = Region(8, 8, 16, 16), Region(60, 30, 16, 16)
    both = cell_mask((left, right), **SIZE, feather_px=8)
    np.testing.assert_array_equal(
        both, np.maximum(cell_mask((left,), **SIZE, feather_px=8), cell_mask((right,), **SIZE, feather_px=8))
    )


@pytest.mark.parametrize("feather_px", [-1.0, float("nan"), float("inf")])
def test_a_feather_that_cannot_be_is_refused(feather_px: float) -> None:
    with pytest.raises(OptionFault, match="give 0 px or more"):
        cell_mask((Region(8, 8, 16, 16),), **SIZE, feather_px=feather_px)


def test_a_region_outside_the_picture_is_refused() -> None:
    with pytest.raises(OptionFault, match="reaches outside the picture of 101x62 px"):
        cell_mask((Region(90, 8, 16, 16),), **SIZE, feather_px=8)
