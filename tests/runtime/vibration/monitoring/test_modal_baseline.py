"""Modes of today beside those of an earlier day."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.monitoring.modal_baseline import (
    ModalBaseline,
    compare_with_baseline,
    read_baseline,
    stored_mode,
)
from tremorscope.runtime.vibration.spectra.modes import Mode
from tremorscope.runtime.vibration.spectra.peaks import Peak

REGIONS = (Region(0, 0, 32, 32), Region(100, 0, 32, 32))
SYMMETRIC, OPPOSED = np.array([0, 1, 0, 1.0 + 0j]), np.array([0, 1, 0, -1.0 + 0j])


def mode(frequency_hz: float, shape: np.ndarray) -> Mode:
    peak = Peak(frequency_hz, 0.001, 0.1, 0.01, "steady", None, None, 0.01, 100.0)
    return Mode(peak, shape, 1.0)


def baseline(*modes: Mode) -> ModalBaseline:
    return ModalBaseline.model_validate(
        {
            "regions": [
                {"x_px": r.x_px, "y_px": r.y_px, "width_px": r.width_px, "height_px": r.height_px}
                for r in REGIONS
            ],
            "modes": [stored_mode(each).model_dump() for each in modes],
        }
    )


def test_a_shift_is_told_with_its_mac() -> None:
    (same,) = compare_with_baseline(baseline(mode(2.0, SYMMETRIC)), REGIONS, [mode(1.96, SYMMETRIC)])
    assert same.shift == pytest.approx(-0.02)
    assert same.mac == pytest.approx(1)


def test_modes_that_have_crossed_are_known_by_their_shapes() -> None:
    before = baseline(mode(2.0, SYMMETRIC), mode(2.1, OPPOSED))
    first, second = compare_with_baseline(before, REGIONS, [mode(2.12, SYMMETRIC), mode(2.02, OPPOSED)])
    assert first.found is not None
    assert first.found.frequency_hz == 2.12
    assert second.found is not None
    assert second.found.frequency_hz == 2.02


def test_a_mode_that_is_gone_is_told() -> None:
    gone, _ = compare_with_baseline(
        baseline(mode(2.0, SYMMETRIC), mode(9.0, OPPOSED)), REGIONS, [mode(9.1, OPPOSED)]
    )
    assert (gone.found, gone.shift, gone.mac) == (None, None, None)


def test_only_regions_that_both_have_are_compared() -> None:
    wider = (*REGIONS, Region(200, 0, 32, 32))
    shape = np.concatenate([SYMMETRIC, [5, 5]])
    (same,) = compare_with_baseline(baseline(mode(2.0, SYMMETRIC)), wider, [mode(2.0, shape)])
    assert same.mac == pytest.approx(1)
    with pytest.raises(OptionFault, match="other regions"):
        compare_with_baseline(
            baseline(mode(2.0, SYMMETRIC)), [Region(7, 7, 32, 32)], [mode(2.0, SYMMETRIC[:2])]
        )


def test_is_read_from_a_summary(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text(json.dumps(baseline(mode(2.0, OPPOSED)).model_dump() | {"other": 1}))
    assert read_baseline(path) == baseline(mode(2.0, OPPOSED))


@pytest.mark.parametrize(
    "content", ["", "[]", '{"regions": []}', '{"regions": [], "modes": [{}]}', "\x00\x01"]
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "summary.json"
    path.write_text(content)
    with pytest.raises(OptionFault, match="holds no regions and modes"):
        read_baseline(path)
    with pytest.raises(OptionFault, match="no such file"):
        read_baseline(tmp_path / "none.json")
