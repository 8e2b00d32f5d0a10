"""Filters in Hz: against SciPy's, at every order, over gaps, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.filters import (
    BandSettings,
    design,
    first_frame,
    frame_before,
    slow_average,
)
from tremorscope.runtime.magnification.modal_filter import Filter, ModalFilter

RATE_HZ = 30.0


def play(filter_: Filter, values: np.ndarray, intervals: np.ndarray | None = None) -> np.ndarray:
    """The recursion that the graph runs, step by step in float64 with the FP32 coefficients."""
    spans = np.ones(len(values)) if intervals is None else intervals
    state, previous, elapsed, found = np.zeros((2, filter_.sections)), values[0], 0, []
    for value, span in zip(values, spans, strict=True):
        elapsed += max(1, round(span))
        own, cross, drive = filter_.coefficients(elapsed, float(span)).astype(np.float64)
        state = own * state + cross * state[::-1] + drive * (value - previous)
        previous = value
        found.append(state[0].sum())
    return np.array(found)


def noise(count: int = 2000) -> np.ndarray:
    return 100 + np.random.default_rng(0).normal(size=count).cumsum() * 0.1


def relative_error(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


# Against SciPy


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("band", [(2.5, 3.5), (0.4, 0.8), (0.5, 14.0), (14.0, 14.9)], ids=str)
def test_a_butterworth_filter_on_differences_is_scipys_on_the_signal(
    order: int, band: tuple[float, float]
) -> None:
    values = noise()
    found = play(design(BandSettings((band,), order=order), RATE_HZ), values)
    sos = signal.butter(order, band, "bandpass", fs=RATE_HZ, output="sos")
    assert relative_error(found, signal.sosfilt(sos, values - values[0])) < 1e-5


def test_two_bands_and_notches_are_the_sum_of_the_bands_after_the_notches() -> None:
    bands, notches = ((2.5, 3.5), (6.0, 8.0)), (3.1, 7.0)
    values = noise()
    found = design(BandSettings(bands, order=3, notches_hz=notches), RATE_HZ)
    sections = [signal.butter(3, band, "bandpass", fs=RATE_HZ, output="sos") for band in bands]
    expected = np.sum([signal.sosfilt(sos, values - values[0]) for sos in sections], axis=0)
    for notch in notches:
        expected = signal.lfilter(*signal.iirnotch(notch, 30, RATE_HZ), expected)
    assert relative_error(play(found, values), expected) < 1e-5
    assert found.sections == 3 + 3 + 2
    assert np.abs(found.response(notches)).max() < 1e-9


@settings(max_examples=60, deadline=None)
@given(
    order=st.integers(1, 4),
    low_hz=st.floats(0.05, 12.0),
    width=st.floats(0.1, 3.0),
    kind=st.sampled_from(["butterworth", "iir"]),
)
def test_any_band_has_unit_gain_and_no_phase_at_its_centre_and_nothing_at_rest(
    order: int, low_hz: float, width: float, kind: str
) -> None:
    high_hz = min(low_hz * (1 + width), 14.5)
    found = design(
        BandSettings(((low_hz, high_hz),), kind, order if kind == "butterworth" else None), RATE_HZ
    )  # type: ignore[arg-type]
    low, high = np.tan(np.pi * np.array([low_hz, high_hz]) / RATE_HZ)
    centre_hz = math.atan(math.sqrt(low * high)) * RATE_HZ / np.pi
    assert complex(found.response(centre_hz)) == pytest.approx(1.0, abs=1e-6)
    assert abs(complex(found.response(0.0))) == 0
    assert isinstance(found, ModalFilter)
    assert found.pole_radius < 1
    if kind == "butterworth":
        np.testing.assert_allclose(np.abs(found.response([low_hz, high_hz])), math.sqrt(0.5), rtol=1e-5)


@pytest.mark.parametrize("band", [(2.5, 3.5), (0.4, 3.0), (5.0, 9.0)], ids=str)
def test_a_fir_filter_has_unit_gain_at_its_centre_half_at_its_edges_and_forgets(
    band: tuple[float, float],
) -> None:
    found = design(BandSettings((band,), "fir"), RATE_HZ)
    assert complex(found.response(sum(band) / 2)) == pytest.approx(1.0, abs=1e-9)
    assert abs(complex(found.response(0.0))) < 1e-12
    if band[0] > 1:
        np.testing.assert_allclose(np.abs(found.response(band)), 0.6, atol=0.05)
    values = noise(400)
    values[100:] += 50.0
    taps = np.diff(found.taps, prepend=0.0, append=0.0)  # type: ignore[attr-defined]
    expected = signal.lfilter(taps, [1.0], values - values[0])
    assert relative_error(play(found, values), expected) < 1e-5
    assert found.settling_s * RATE_HZ == found.sections <= math.ceil(2 * RATE_HZ / (band[1] - band[0]))


def test_settling_is_when_what_it_started_with_is_down_to_a_hundredth() -> None:
    found = design(BandSettings(((2.5, 3.5),)), RATE_HZ)
    assert isinstance(found, ModalFilter)
    settled = round(found.settling_s * RATE_HZ)
    assert found.pole_radius**settled <= 0.01 < found.pole_radius ** (settled - 1)
    ringing = np.abs(play(found, np.r_[0.0, np.full(400, 1.0)]))
    assert ringing[settled + 1 :].max() < 0.02 < ringing.max()


def test_the_largest_gain_bounds_what_comes_out() -> None:
    found = design(BandSettings(((2.5, 3.5),), order=3), RATE_HZ)
    steps = play(found, np.r_[0.0, np.ones(600)])
    impulse = np.diff(steps, prepend=0.0)
    assert found.largest_gain == pytest.approx(float(np.abs(impulse).sum()), rel=0.01)


# Gaps


@pytest.mark.parametrize("kind", ["butterworth", "iir", "fir"])
def test_a_step_over_dropped_frames_is_the_steps_along_a_straight_line(kind: str) -> None:
    filter_ = design(BandSettings(((2.5, 3.5),), kind), RATE_HZ)  # type: ignore[arg-type]
    values = noise(300)
    kept = np.sort(np.random.default_rng(1).choice(300, 220, replace=False))
    kept[0] = 0
    line = np.interp(np.arange(kept[-1] + 1), kept, values[kept])
    found = play(filter_, values[kept], np.diff(kept, prepend=-1).astype(float))
    np.testing.assert_allclose(found, play(filter_, line)[kept], atol=1e-4)


def test_an_interval_may_be_no_whole_number_of_frames() -> None:
    filter_ = design(BandSettings(((2.5, 3.5),)), RATE_HZ)
    spans = np.random.default_rng(2).uniform(0.6, 1.6, 600)
    time_s = spans.cumsum() / RATE_HZ
    tone = np.sin(2 * np.pi * 2.96 * time_s)
    np.testing.assert_allclose(play(filter_, tone, spans)[150:], tone[150:], atol=0.06)


# Modes as filters


def test_the_static_and_the_dynamic_mode_are_filters() -> None:
    values = noise(200)
    np.testing.assert_allclose(play(first_frame(RATE_HZ), values), values - values[0], atol=1e-9)
    np.testing.assert_allclose(
        play(frame_before(RATE_HZ), values), np.diff(values, prepend=values[0]), atol=1e-9
    )
    assert first_frame(RATE_HZ).settling_s == 0


def test_a_slow_average_is_the_difference_to_the_exponential_mean() -> None:
    values, mean, expected = noise(500), None, []
    share = 1 - math.exp(-1 / (2.0 * RATE_HZ))
    for value in values:
        mean = value if mean is None else mean
        expected.append((value - mean) * (1 - share))
        mean += share * (value - mean)
    # What is left of the newest difference stands for the mean that already holds this frame.
    found = play(slow_average(2.0)(RATE_HZ), values)
    np.testing.assert_allclose(found * (1 - share), expected, atol=1e-4)


# Refusals


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        (BandSettings(()), "0 bands: too few or too many"),
        (BandSettings(((1, 2), (3, 4), (5, 6))), "3 bands: too few or too many"),
        (BandSettings(((0.0, 2.0),)), "above 0 Hz"),
        (BandSettings(((3.0, 2.0),)), "above that"),
        (BandSettings(((2.0, math.nan),)), "above that"),
        (BandSettings(((2.0, 15.0),)), "reaches 15 Hz, half of the 30 frames a second that are measured"),
        (BandSettings(((60.0, 68.0),)), r"state the true rate of a high-speed clip \(--capture-fps\)"),
        (BandSettings(((1.0, 3.0), (2.0, 4.0))), "overlap"),
        (BandSettings(((2.5, 3.5),), order=0), "choose 1 to 4"),
        (BandSettings(((2.5, 3.5),), order=5), "choose 1 to 4"),
        (BandSettings(((2.5, 3.5),), "iir", order=2), "leave the order out"),
        (BandSettings(((2.5, 3.5),), "fir", order=1000), "choose 4 to 128"),
        (BandSettings(((0.4, 0.8),), "fir"), "needs order 150 .* widen the band to 0.469 Hz, or choose butterworth"),
        (BandSettings(((2.5, 3.5),), "fir", notches_hz=(3.0,)), "has no notch"),
        (BandSettings(((2.5, 3.5),), notches_hz=(0.0,)), "above 0 Hz"),
        (BandSettings(((2.5, 3.5),), notches_hz=(50.0,)), "at this rate it shows at 10 Hz"),
        (BandSettings(((2.5, 2.50001),)), "s to settle: widen the band"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_a_remedy(settings_: BandSettings, message: str) -> None:
    with pytest.raises(OptionFault, match=message):
        design(settings_, RATE_HZ)


@pytest.mark.parametrize("time_constant_s", [0.0, -1.0, math.nan, math.inf])
def test_a_refresh_time_that_cannot_be_is_refused(time_constant_s: float) -> None:
    with pytest.raises(OptionFault, match=r"e\.g\. 60"):
        slow_average(time_constant_s)
