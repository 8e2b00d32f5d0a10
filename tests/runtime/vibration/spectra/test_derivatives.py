"""Velocity and acceleration are those of the true motion: amplitude, phase, noise and ends."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.derivatives import (
    ORDERS,
    UNITS,
    derivative_at_frames,
    differentiate,
    noise_gain,
    noise_rms,
    settling_s,
    trusted_band_hz,
    usual_unit,
    whole_band_hz,
)

Values = NDArray[np.float64]


def tone(times: Values, hz: float, phase: float, order: int = 0) -> Values:
    """A sinusoid of amplitude 1, differentiated exactly."""
    turn = 2 * math.pi * hz
    return turn**order * np.sin(turn * times + phase + order * math.pi / 2)


rates = st.floats(12, 480)
phases = st.floats(0, 2 * math.pi)
orders = st.sampled_from([1, 2])


@settings(deadline=None, max_examples=120)
@given(rate_hz=rates, seconds=st.floats(6, 40), place=st.floats(0, 1), phase=phases, order=orders)
def test_a_tone_in_the_trusted_band_is_true_to_a_per_cent_at_every_moment(
    rate_hz: float, seconds: float, place: float, phase: float, order: int
) -> None:
    """At every moment means in amplitude and phase; anywhere in the band, its edges included."""
    times = np.arange(int(seconds * rate_hz)) / rate_hz
    low, high = trusted_band_hz(rate_hz, times.size / rate_hz)
    hz = low * (high / low) ** place
    found = derivative_at_frames(times, tone(times, hz, phase), order)
    known = np.isfinite(found)
    assert known.sum() == times.size - 2 * round(settling_s(whole_band_hz(rate_hz)) * rate_hz)
    off = np.abs(found - tone(times, hz, phase, order))[known].max() / (2 * math.pi * hz) ** order
    assert off < 0.01


@settings(deadline=None, max_examples=60)
@given(rate_hz=rates, phase=phases, order=orders)
def test_at_nine_tenths_of_the_band_half_a_per_cent_is_kept(rate_hz: float, phase: float, order: int) -> None:
    """Asked are 2 per cent."""
    times = np.arange(600) / rate_hz
    hz = 0.9 * trusted_band_hz(rate_hz, 600 / rate_hz)[1]
    found = derivative_at_frames(times, tone(times, hz, phase), order)
    off = np.nanmax(np.abs(found - tone(times, hz, phase, order))) / (2 * math.pi * hz) ** order
    assert off < 0.005


@settings(deadline=None, max_examples=60)
@given(low=st.floats(1, 10), place=st.floats(0, 1), phase=phases, order=st.sampled_from([0, 1, 2]))
def test_a_band_passes_what_is_in_it_and_stops_what_is_not(
    low: float, place: float, phase: float, order: int
) -> None:
    rate_hz, band = 240.0, (low, 5 * low)
    times = np.arange(round(rate_hz * (2 * settling_s(band) + 4 / low))) / rate_hz
    hz = low * 5**place
    inside, outside = (
        tone(times, hz, phase),
        3 * tone(times, low / 2.2, phase) + 2 * tone(times, 6.5 * low, 1.0),
    )
    found = differentiate(np.stack([inside, outside]), rate_hz, order, band)
    known = np.isfinite(found[0])
    assert np.abs(found[0] - tone(times, hz, phase, order))[known].max() < 0.012 * (2 * math.pi * hz) ** order
    assert np.abs(found[1])[known].max() < 0.03 * (2 * math.pi * 5 * low) ** order


@settings(deadline=None, max_examples=40)
@given(slope=st.floats(-100, 100), order=orders)
def test_a_steady_drift_has_its_own_velocity_and_no_acceleration(slope: float, order: int) -> None:
    times = np.arange(200) / 25
    found = derivative_at_frames(times, 7 + slope * times, order)
    expected = slope if order == 1 else 0.0
    assert np.nanmax(np.abs(found - expected)) < 1e-6 * max(1, abs(slope))


@pytest.mark.parametrize("order", [1, 2])
def test_the_predicted_noise_is_the_noise(order: int) -> None:
    """Displacement floor times omega, or its square, over the band."""
    rate_hz = 60.0
    white = np.random.default_rng(1).standard_normal((1, 120_000))
    for band in (whole_band_hz(rate_hz), (1.0, 10.0)):
        found = differentiate(white, rate_hz, order, band)
        assert np.nanstd(found) == pytest.approx(noise_gain(order, band, rate_hz), rel=0.02)
    high = whole_band_hz(rate_hz)[1]
    frequency = np.linspace(0, rate_hz / 2, 20_001)
    density = np.where(frequency <= high, 2 / rate_hz, 0)
    exact = (2 * math.pi) ** order * math.sqrt(2 / rate_hz * high ** (2 * order + 1) / (2 * order + 1))
    assert noise_rms(frequency, density, order, whole_band_hz(rate_hz)) == pytest.approx(exact, rel=1e-3)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 1000), order=orders)
def test_lost_frames_uneven_times_and_gaps_are_unknown_or_true(seed: int, order: int) -> None:
    rng = np.random.default_rng(seed)
    rate_hz, hz = 60.0, 2.0
    times = np.arange(900) / rate_hz
    kept = np.ones(times.size, bool)
    kept[400:420] = False  # a gap
    kept[rng.choice(np.arange(10, 390), 4, replace=False)] = False  # single drops
    times = times[kept]
    moved = tone(times, hz, 0.3)
    moved[600:610] = np.nan  # lost in these frames
    found = derivative_at_frames(times, moved, order)
    assert found.shape == times.shape
    assert np.isnan(found[600:610]).all()
    known = np.isfinite(found)
    assert known.mean() > 0.8
    off = np.abs(found - tone(times, hz, 0.3, order))[known].max() / (2 * math.pi * hz) ** order
    assert off < 0.01


def test_frames_that_come_unevenly_are_taken_at_their_own_times() -> None:
    rng = np.random.default_rng(5)
    times = np.sort(np.arange(600) / 60 + rng.uniform(-0.3, 0.3, 600) / 60)
    found = derivative_at_frames(times, tone(times, 2.0, 0.0), 1)
    off = np.nanmax(np.abs(found - tone(times, 2.0, 0.0, 1))) / (2 * math.pi * 2.0)
    assert off < 0.01


def test_too_few_frames_are_unknown_and_time_that_runs_backwards_is_refused() -> None:
    assert np.isnan(derivative_at_frames(np.arange(10) / 25, np.zeros(10), 1)).all()
    with pytest.raises(OptionFault, match="time does not run forwards"):
        derivative_at_frames([0.0, 2.0, 1.0], [0.0, 0.0, 0.0], 1)


def test_units_are_physical_only_with_a_scale() -> None:
    assert [usual_unit(quantity, None) for quantity in ORDERS] == [("px", 1), ("px/s", 1), ("px/s2", 1)]
    assert [usual_unit(quantity, 2.5)[0] for quantity in ORDERS] == ["mm", "mm/s", "m/s2"]
    assert usual_unit("acceleration", 2.5)[1] == pytest.approx(2.5e-3)
    assert UNITS["g"][2] * 9806.65 == pytest.approx(1) == UNITS["in/s"][2] * 25.4
