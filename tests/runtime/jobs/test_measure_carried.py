"""Errors that are carried by a lens or plane, and the uncertainty of what is made by a scale."""

from __future__ import annotations

import math
from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pytest

from tremorscope.runtime.jobs.calibrated import _carried
from tremorscope.runtime.reports.motion import peak_entries, peak_text, rate_entries
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.monitoring.motion_levels import RateLevels
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries
from tremorscope.runtime.vibration.spectra.peaks import Peak


class _Stretched(RegionMaps):
    """A map that doubles y and mixes a fifth of x into it."""

    def __init__(self) -> None:
        self.matrices = np.array([[[1.0, 0.0], [0.2, 2.0]]])


def test_every_error_of_a_region_goes_through_its_map() -> None:
    region, values = Region(0, 0, 32, 32), np.array([0.1, -0.1])
    errors = {
        each.name: (0.003, 0.004)
        for each in fields(RegionSeries)
        if each.name.endswith("_px") and each.name not in ("x_px", "y_px", "camera_px")
    }
    assert {"noise_floor_px", "rounding_floor_px", "coding_error_px", "bound_px"} == set(errors)
    series = RegionSeries("R1", region, values, values, np.ones(2), light=np.ones((2, 2)), **errors)
    carried = _carried(series, _Stretched(), 0)
    for name in errors:
        assert getattr(carried, name) == pytest.approx((0.003, math.hypot(0.2 * 0.003, 2 * 0.004)))


def test_velocity_and_acceleration_state_amplitude_frequency_and_scale() -> None:
    peak = Peak(**{each.name: None for each in fields(Peak)} | {  # type: ignore[arg-type]
        "frequency_hz": 2.0, "frequency_sigma_hz": 0.02, "amplitude": 0.1, "amplitude_sigma": 0.002,
    })  # fmt: skip
    found = peak_entries(peak, Scale(5.0, "by board", 0.03), None, 0.1)
    omega = 2 * math.pi * 2.0
    assert found["velocity_sigma_mm_s"] == pytest.approx(0.5 * omega * math.hypot(0.02, 0.03, 0.01))
    assert found["acceleration_sigma_m_s2"] == pytest.approx(5e-4 * omega**2 * math.hypot(0.02, 0.03, 0.02))
    assert found["velocity_sigma_px_s"] == pytest.approx(0.1 * omega * math.hypot(0.02, 0.01))
    levels = {
        ("velocity", 0, "x"): RateLevels(0.2, 0.5, None),
        ("acceleration", 0, "x"): RateLevels(None, 9.0, 1.0),
    }
    told = rate_entries(SimpleNamespace(levels=levels), 0, "x", Scale(5.0, "by board", 0.03))  # type: ignore[arg-type]
    assert told["velocity"]["rms_mm_s"] == pytest.approx(1.0)
    assert told["velocity"]["rms_sigma_mm_s"] == pytest.approx(0.03)
    assert told["acceleration"]["peak_sigma_m_s2"] == pytest.approx(5e-3 * 9.0 * 0.03)
    assert not [key for key in told["velocity"] if "sigma_px" in key]
    assert peak_text(peak, Scale(5.0, "by board", 0.03), None, 0.1).startswith("6.3 ± 0.2 mm/s")
