"""Welch's spectra are SciPy's, never reach across a gap, and stand on an honest floor."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.sampling import resample_evenly
from tremorscope.runtime.vibration.spectra.spectra import noise_floor, usual_window_s, welch


def test_density_and_cross_density_are_scipys() -> None:
    values = np.random.default_rng(0).standard_normal((3, 3600))
    spectrum = welch(resample_evenly(np.arange(3600) / 60, values), 20.0)
    options = {"fs": 60, "window": "hann", "nperseg": 1200, "noverlap": 600, "detrend": "linear"}
    frequency, density = signal.welch(values, **options)
    assert np.array_equal(spectrum.frequency_hz, frequency)
    assert spectrum.density == pytest.approx(density, rel=1e-9)
    assert spectrum.segments == 5
    cross = 2 * (spectrum.factors[2] * spectrum.factors[0].conj()).mean(axis=-1)
    assert cross[1:600] == pytest.approx(signal.csd(values[0], values[2], **options)[1][1:600], rel=1e-9)


def test_segments_never_reach_across_a_gap() -> None:
    rng = np.random.default_rng(1)
    values = rng.standard_normal(2000)
    times = np.arange(2000) / 50
    values[1000:] += 40  # a step that would ring through any segment that held it
    kept = np.delete(np.arange(2000), slice(980, 1020))
    spectrum = welch(resample_evenly(times[kept], values[kept]), 8.0)
    assert spectrum.segments == 2 * (1 + (980 - 400) // 200)
    assert spectrum.density[0, 2:].max() < 10 * np.median(spectrum.density[0])


def test_a_window_longer_than_the_recording_is_refused() -> None:
    series = resample_evenly(np.arange(300) / 30, np.zeros(300))
    with pytest.raises(OptionFault, match=r"window of 20 s is longer than the 10 s") as fault:
        welch(series, 20)
    assert "at most 10 s" in fault.value.remedy
    with pytest.raises(OptionFault, match="holds 6 frames, too few"):
        welch(series, 0.2)


def test_the_usual_window_grows_with_the_recording() -> None:
    assert [usual_window_s(t, 30.0) for t in (3, 60, 120, 600, 36000)] == [1.5, 30, 60, 75, 4500]


@pytest.mark.parametrize("drift", [0.0, 0.05])
def test_the_floor_is_the_mean_power_of_noise(drift: float) -> None:
    rng = np.random.default_rng(2)
    ratios = []
    for _ in range(20):
        values = rng.standard_normal(3600) + drift * np.cumsum(rng.standard_normal(3600))
        spectrum = welch(resample_evenly(np.arange(3600) / 60, values), 30)
        floor = noise_floor(spectrum, spectrum.density[0])
        ratios.append((spectrum.density[0] / floor)[20:-1].mean())
    assert np.mean(ratios) == pytest.approx(1, abs=0.12)


def test_the_floor_passes_under_peaks() -> None:
    rng = np.random.default_rng(3)
    times = np.arange(3600) / 60
    values = 0.01 * rng.standard_normal(3600)
    loud = values + sum(np.sin(2 * np.pi * f * times) for f in (1.3, 4.1, 9.7))
    quiet, peaky = (welch(resample_evenly(times, each), 30) for each in (values, loud))
    ratio = noise_floor(peaky, peaky.density[0]) / noise_floor(quiet, quiet.density[0])
    assert np.median(ratio) == pytest.approx(1, abs=0.2)
