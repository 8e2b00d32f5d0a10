"""Sinusoids are found in a displacement with their frequencies and amplitudes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.spectra.tones import amplitudes_at, find_tones

TIMES_S = np.arange(180) / 30


@settings(max_examples=80, deadline=None)
@given(st.floats(0.5, 14.0), st.floats(0.01, 50.0), st.floats(-3.1, 3.1), st.floats(-5, 5))
def test_one_tone_is_found_exactly(frequency: float, amplitude: float, phase: float, mean: float) -> None:
    (tone,) = find_tones(TIMES_S, mean + amplitude * np.sin(2 * np.pi * frequency * TIMES_S + phase), 1)
    assert tone.frequency_hz == pytest.approx(frequency, abs=1e-4)
    assert tone.amplitude == pytest.approx(amplitude, rel=1e-3)
    assert np.cos(tone.phase_rad - phase) == pytest.approx(1, abs=1e-3)


def test_a_weak_tone_is_found_beside_a_strong_one_and_the_lower_comes_first() -> None:
    signal = 0.02 * np.sin(2 * np.pi * 2.1 * TIMES_S) + 1.0 * np.sin(2 * np.pi * 4.7 * TIMES_S + 1)
    low, high = find_tones(TIMES_S, signal, 2)
    assert (low.frequency_hz, high.frequency_hz) == pytest.approx((2.1, 4.7), abs=1e-3)
    assert (low.amplitude, high.amplitude) == pytest.approx((0.02, 1.0), rel=1e-2)


def test_under_noise_the_frequency_is_far_better_than_the_resolution() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(30):
        signal = 0.1 * np.sin(2 * np.pi * 2.1 * TIMES_S) + 0.02 * rng.standard_normal(TIMES_S.size)
        errors.append(find_tones(TIMES_S, signal, 1)[0].frequency_hz - 2.1)
    assert np.sqrt(np.mean(np.square(errors))) < (1 / 6) / 25


def test_uneven_times_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(1)
    times = 12.5 + np.delete(TIMES_S, [20, 21, 90]) + rng.uniform(-0.004, 0.004, 177)
    (tone,) = find_tones(times, 0.3 * np.sin(2 * np.pi * 3.3 * times), 1)
    assert (tone.frequency_hz, tone.amplitude) == pytest.approx((3.3, 0.3), rel=1e-3)


def test_amplitudes_at_known_frequencies() -> None:
    signal = 4 + 0.7 * np.cos(2 * np.pi * 2 * TIMES_S) - 0.2 * np.sin(2 * np.pi * 5 * TIMES_S)
    assert amplitudes_at(TIMES_S, signal, [2.0, 5.0, 9.0]) == pytest.approx((0.7, 0.2, 0.0), abs=1e-9)


def test_too_short_a_signal_is_refused() -> None:
    with pytest.raises(OptionFault, match="15 samples are too few to find 2 tones"):
        find_tones(TIMES_S[:15], TIMES_S[:15], 2)
