"""How long a pixel is, and how that is known."""

from __future__ import annotations

import math

import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Scale, scale_of


def test_from_a_known_length() -> None:
    scale = Scale.from_length(1200, 480)
    assert scale.mm_per_px == 2.5
    assert str(scale) == "2.5 mm/px (from a length of 1200 mm that spans 480 px)"


def test_from_distance_focal_length_and_pitch() -> None:
    scale = Scale.from_optics(20, 50, 3.45)
    assert scale.mm_per_px == pytest.approx(3.45e-3 * (20000 - 50) / 50)
    assert "20 m distance, 50 mm focal length" in scale.provenance


def test_in_one_way_only() -> None:
    assert scale_of(None, None, None) is None
    stated = scale_of(0.5, None, None)
    assert stated is not None
    assert str(stated) == "0.5 mm/px (stated)"
    with pytest.raises(OptionFault, match="more than one way"):
        scale_of(0.5, (100, 20), None)


@pytest.mark.parametrize("wrong", [0, -1, math.nan, math.inf])
def test_that_is_no_length_is_refused(wrong: float) -> None:
    for make in (
        lambda: Scale.stated(wrong),
        lambda: Scale.from_length(wrong, 100),
        lambda: Scale.from_length(100, wrong),
        lambda: Scale.from_optics(wrong, 50, 3),
        lambda: Scale.from_optics(20, wrong, 3),
        lambda: Scale.from_optics(20, 50, wrong),
    ):
        with pytest.raises(OptionFault, match="is not a number above 0") as fault:
            make()
        assert fault.value.remedy


def test_within_the_focal_length_is_refused() -> None:
    with pytest.raises(OptionFault, match="gives no picture"):
        Scale.from_optics(0.04, 50, 3)
