"""Days: what follows the temperature is taken out, and a still scene stays where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from bridge_still import drift_px, measured_day

from tremorscope.runtime.vibration.monitoring.temperature import (
    TemperatureTrend,
    fit_temperature,
    read_temperature,
)


def test_a_still_region_drifts_by_less_than_0_02_px_in_24_hours() -> None:
    """Camera temperature, exposure in steps and the sun on a relief; still regions take the camera's part."""
    day = measured_day(96, still=True)
    assert not np.isnan(day.moved_px).any()
    assert drift_px(day) < 0.02


def test_without_still_regions_the_temperature_takes_the_cameras_part_out() -> None:
    day = measured_day(96, still=False)
    assert drift_px(day) > 0.3
    freed = [
        fit_temperature(each, day.temperature_c).out_of(each, day.temperature_c) for each in day.moved_px.T
    ]
    assert drift_px(replace(day, moved_px=np.array(freed).T)) < 0.02


def test_a_frequency_is_told_as_it_would_be_at_one_temperature() -> None:
    rng, trend = np.random.default_rng(0), TemperatureTrend()
    temperatures = 15 + 8 * np.sin(np.arange(400) / 23)
    found = [
        trend.take_out(2.1 - 0.004 * (t - 15) + 0.001 * rng.standard_normal(), float(t)) for t in temperatures
    ]
    assert np.ptp(2.1 - 0.004 * (temperatures - 15)) > 0.06
    assert np.std(found[100:]) < 0.0015
    # A change that is none of the temperature's stays.
    assert trend.take_out(2.0, 15.0) == pytest.approx(2.0, abs=0.002)
    assert trend.take_out(2.1, None) == 2.1


def test_a_trend_is_not_believed_too_early() -> None:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal(200)
    assert fit_temperature(noise, 20 + rng.uniform(-5, 5, 200)).slope == 0
    assert fit_temperature(np.arange(10.0), np.arange(10.0)).slope == 0
    assert fit_temperature(np.arange(50.0), 20 + np.linspace(0, 1, 50)).slope == 0
    assert fit_temperature([np.nan] * 30, np.arange(30.0)).slope == 0


@pytest.mark.parametrize(
    ("text", "degrees"),
    [("21.5\n", 21.5), ("21500\n", 21.5), ("-150", -0.15), ("x", None), ("", None), ("nan.", None)],
)
def test_a_sensors_file(tmp_path: Path, text: str, degrees: float | None) -> None:
    file = tmp_path / "temp"
    file.write_text(text)
    assert read_temperature(file) == degrees
    assert read_temperature(tmp_path / "none") is None
    assert read_temperature(None) is None
