"""Modes: shapes, frequencies, and two close ones told apart by their shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenes import Values, shaken

from tremorscope.runtime.vibration.spectra.modes import Mode, collinearity, find_modes, mac
from tremorscope.runtime.vibration.spectra.peaks import analyse
from tremorscope.runtime.vibration.spectra.sampling import resample_evenly

PLACES = np.linspace(0.1, 0.9, 6)
FIRST, SECOND = np.sin(np.pi * PLACES), np.sin(2 * np.pi * PLACES)
RATE_HZ = 30.0


def identified(values: Values) -> tuple[Mode, ...]:
    times = np.arange(values.shape[1]) / RATE_HZ
    channels = [analyse(resample_evenly(times, channel)) for channel in values]
    return find_modes(resample_evenly(times, values), channels)


def test_shapes_and_frequencies_of_a_bridge_in_the_wind() -> None:
    rng = np.random.default_rng(0)
    values = 0.1 * np.outer(FIRST, shaken(1.3, 0.02, RATE_HZ, 120, rng))
    values += 0.05 * np.outer(SECOND, shaken(4.7, 0.01, RATE_HZ, 120, rng))
    values += 0.01 * rng.standard_normal(values.shape)
    low, high = sorted(identified(values), key=lambda mode: mode.frequency_hz)
    assert (low.frequency_hz, high.frequency_hz) == pytest.approx((1.3, 4.7), rel=0.01)
    assert mac(low.shape, FIRST) > 0.99
    assert mac(high.shape, SECOND) > 0.99
    assert min(low.collinearity, high.collinearity) > 0.95
    assert np.abs(low.shape).max() == pytest.approx(1)


def test_two_resonances_five_percent_apart_are_told_apart_in_a_minute() -> None:
    right = 0
    for seed in range(5):
        rng = np.random.default_rng(seed)
        values = 0.1 * np.outer(FIRST, shaken(2.0, 0.01, RATE_HZ, 60, rng))
        values += 0.08 * np.outer(SECOND, shaken(2.1, 0.01, RATE_HZ, 60, rng))
        values += 0.01 * rng.standard_normal(values.shape)
        modes = identified(values)
        near = [(mode.frequency_hz, mode.shape) for mode in modes if 1.9 < mode.frequency_hz < 2.2]
        right += any(mac(shape, FIRST) > 0.8 and abs(f - 2.0) < 0.04 for f, shape in near) and any(
            mac(shape, SECOND) > 0.6 and abs(f - 2.1) < 0.04 for f, shape in near
        )
    assert right >= 4


def test_two_tones_five_percent_apart_have_their_own_shapes() -> None:
    rng = np.random.default_rng(1)
    times = np.arange(1800) / RATE_HZ
    values = 0.1 * np.outer(FIRST, np.sin(2 * np.pi * 2.0 * times))
    values += 0.08 * np.outer(SECOND, np.sin(2 * np.pi * 2.1 * times + 1))
    low, high = sorted(
        identified(values + 0.01 * rng.standard_normal(values.shape)), key=lambda mode: mode.frequency_hz
    )
    assert (low.frequency_hz, high.frequency_hz) == pytest.approx((2.0, 2.1), abs=0.1 / 60)
    assert mac(low.shape, FIRST) > 0.99
    assert mac(high.shape, SECOND) > 0.99


def test_a_channel_of_much_noise_does_not_drown_the_others() -> None:
    rng = np.random.default_rng(2)
    times = np.arange(1800) / RATE_HZ
    values = 0.05 * np.outer(FIRST, np.sin(2 * np.pi * 3.1 * times))
    values += np.array([[0.01], [0.01], [2.0], [0.01], [0.01], [0.01]]) * rng.standard_normal(values.shape)
    mode = identified(values)[0]
    assert mode.frequency_hz == pytest.approx(3.1, abs=0.1 / 60)
    quiet = [0, 1, 3, 4, 5]
    assert mac(mode.shape[quiet], FIRST[quiet]) > 0.99


def test_noise_has_no_modes() -> None:
    rng = np.random.default_rng(3)
    assert sum(len(identified(rng.standard_normal((6, 1800)))) for _ in range(10)) <= 1


shapes = st.lists(st.complex_numbers(max_magnitude=10, allow_nan=False), min_size=4, max_size=4)


@given(shapes, st.complex_numbers(min_magnitude=0.1, max_magnitude=10))
def test_mac_knows_no_scale_and_no_phase(shape: list[complex], factor: complex) -> None:
    vector = np.array(shape)
    if np.abs(vector).max() > 1e-3:
        assert mac(vector, factor * vector) == pytest.approx(1)


def test_mac_of_orthogonal_shapes_is_zero() -> None:
    assert mac([1, 1], [1, -1]) == 0
    assert mac([0, 0], [1, 1]) == 0


def test_collinearity_tells_a_line_from_a_circle() -> None:
    assert collinearity(np.array([1, -0.5, 0.2]) * np.exp(0.7j)) == pytest.approx(1)
    assert collinearity(np.array([1, 1j])) == pytest.approx(0)
