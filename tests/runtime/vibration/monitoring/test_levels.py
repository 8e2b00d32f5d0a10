"""Peak and RMS displacement of windows: their values, and what lost frames do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.vibration.monitoring.levels import Levels, LevelWindow


def levels_of(samples: list[tuple[float, float, float]], window_s: float = 1.0) -> list[Levels]:
    window = LevelWindow(window_s)
    found = [window.add(*sample) for sample in samples]
    return [levels for levels in found if levels is not None]


def test_a_sine_has_its_amplitude_as_peak_and_its_rms_about_the_mean() -> None:
    times = np.arange(0, 2.01, 0.01)
    first, second = levels_of([(t, 3 + 0.1 * math.sin(2 * math.pi * 5 * t), 0.0) for t in times])
    assert first.peak == pytest.approx(3.1, abs=1e-3)  # with the static deflection
    assert first.rms == pytest.approx(0.1 / math.sqrt(2), rel=1e-6)  # without
    assert (first.start_s, first.end_s, first.samples, first.lost) == (0.0, pytest.approx(0.99), 100, 0)
    assert second.start_s == pytest.approx(1.0)


def test_both_axes_count() -> None:
    times = np.arange(0, 1.01, 0.001)
    circle = [(t, 0.3 * math.cos(20 * math.pi * t), 0.3 * math.sin(20 * math.pi * t)) for t in times]
    (levels,) = levels_of(circle)
    assert levels.peak == pytest.approx(0.3)
    assert levels.rms == pytest.approx(0.3)


def test_lost_frames_are_left_out_and_too_many_make_the_window_unknown() -> None:
    one_in_four = [(t / 10, math.nan if t % 4 == 0 else 0.5, 0.0) for t in range(11)]
    (levels,) = levels_of(one_in_four)
    assert (levels.peak, levels.samples, levels.lost) == (0.5, 7, 3)
    (unknown,) = levels_of([(t / 10, 0.5 if t % 3 == 0 else math.nan, 0.0) for t in range(11)])
    assert math.isnan(unknown.peak)
    assert math.isnan(unknown.rms)
    assert (unknown.samples, unknown.lost) == (4, 6)


def test_time_that_runs_backwards_ends_the_window() -> None:
    levels, *_ = levels_of([(5.0, 1.0, 0.0), (5.1, 1.0, 0.0), (2.0, 9.0, 0.0), (2.1, 9.0, 0.0)])
    assert (levels.start_s, levels.end_s, levels.peak, levels.samples) == (5.0, 5.1, 1.0, 2)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=60), st.floats(-1e4, 1e4))
def test_it_agrees_with_numpy_far_from_zero(values: list[float], mean: float) -> None:
    samples = [(number / 100, mean + value, 0.0) for number, value in enumerate(values)]
    (levels,) = levels_of([*samples, (10.0, 0.0, 0.0)])
    x = np.array([sample[1] for sample in samples])
    assert levels.rms == pytest.approx(float(x.std()), abs=1e-9)
    assert levels.peak == float(np.abs(x).max())


def test_a_window_of_no_length_is_refused() -> None:
    with pytest.raises(ValueError, match="a window of 0 s is not a finite time above 0 s"):
        LevelWindow(0)
