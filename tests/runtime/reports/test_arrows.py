"""Arrows of a mode's shape are read one by one."""

from __future__ import annotations

import numpy as np

from tremorscope.runtime.reports.arrows import untangled
from tremorscope.runtime.vibration.displacement.regions import Region

REGIONS = Region(0, 0, 20, 20), Region(60, 0, 20, 20)
STARTS = np.array([region.centre_px for region in REGIONS])


def test_arrows_that_keep_apart_stay_as_they_are() -> None:
    assert untangled(STARTS, np.array([[0.0, 40.0], [0.0, -40.0]]), REGIONS) == 1.0


def test_an_arrow_does_not_end_on_another_region() -> None:
    factor = untangled(STARTS, np.array([[60.0, 0.0], [0.0, 0.0]]), REGIONS)
    assert 0.6 < factor < 1
    assert STARTS[0, 0] + factor * 60 < 60


def test_arrows_do_not_cross() -> None:
    arrows = np.array([[55.0, 40.0], [-55.0, 40.0]])
    factor = untangled(STARTS, arrows, REGIONS)
    assert factor * 55 < 30


def test_an_arrow_does_not_pass_over_another_region() -> None:
    factor = untangled(STARTS, np.array([[100.0, 0.0], [0.0, 0.0]]), REGIONS)
    assert STARTS[0, 0] + factor * 100 < 60


def test_arrows_of_parts_that_near_each_other_keep_apart() -> None:
    factor = untangled(STARTS, np.array([[80.0, 0.0], [-80.0, 0.0]]), REGIONS)
    assert STARTS[0, 0] + factor * 80 < 60
