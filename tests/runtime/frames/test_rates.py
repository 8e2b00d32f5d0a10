"""The true rate, jitter and losses of a camera, and the bands that they do not fit."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.rates import (
    BandWatch,
    MeasuredRate,
    RateMeter,
    RateWindow,
    alias_hz,
    band_error,
    band_warnings,
)


def measure(
    *,
    rate_hz: float = 29.97,
    jitter_s: float = 0.0,
    drop: float = 0.0,
    numbered: bool = True,
    frames: int = 2000,
    seed: int = 1,
    tick_s: float = 0.0,
) -> MeasuredRate:
    chance = np.random.default_rng(seed)
    window = RateWindow()
    given = 0
    for number in range(frames):
        if number and chance.random() < drop:
            continue
        time_s = 50.0 + number / rate_hz + chance.normal(0, jitter_s)
        if tick_s:
            time_s = round(time_s / tick_s) * tick_s
        window.add(FrameInfo(number if numbered else given, time_s))
        given += 1
    measured = window.measure()
    assert measured is not None
    return measured


def test_an_even_camera_is_measured_exactly() -> None:
    measured = measure()
    assert measured.rate_hz == pytest.approx(29.97, rel=1e-9)
    assert measured.jitter_rms_s < 1e-9
    assert (measured.drop_ratio, measured.frames) == (0.0, 256)


@pytest.mark.parametrize("jitter_s", [0.5e-3, 2e-3, 4e-3])
@pytest.mark.parametrize("seed", range(5))
def test_jitter_is_measured_and_hardly_shifts_the_rate(jitter_s: float, seed: int) -> None:
    measured = measure(jitter_s=jitter_s, seed=seed)
    assert measured.jitter_rms_s == pytest.approx(jitter_s, rel=0.15)
    assert measured.jitter_rms_s < measured.jitter_peak_s < 5 * jitter_s
    standard_error_hz = np.sqrt(12) * jitter_s * 29.97**2 / 256**1.5
    assert abs(measured.rate_hz - 29.97) < 4 * standard_error_hz


@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("drop", [0.02, 0.2])
def test_drops_do_not_pass_for_another_rate(numbered: bool, drop: float) -> None:
    measured = measure(drop=drop, numbered=numbered, jitter_s=0.5e-3)
    assert measured.rate_hz == pytest.approx(29.97, abs=0.01)
    assert measured.jitter_rms_s == pytest.approx(0.5e-3, rel=0.2)
    assert measured.drop_ratio == pytest.approx(drop, abs=0.06)


def test_timestamps_in_milliseconds_are_no_jitter_to_speak_of() -> None:
    measured = measure(tick_s=1e-3)
    assert measured.rate_hz == pytest.approx(29.97, abs=2e-3)
    assert measured.jitter_rms_s == pytest.approx(1e-3 / np.sqrt(12), rel=0.05)


def test_a_new_segment_begins_anew_and_a_few_frames_say_nothing() -> None:
    window = RateWindow()
    for number in range(100):
        window.add(FrameInfo(number, number / 30))
    for number in range(7):
        window.add(FrameInfo(100 + number, 1000 + number / 25, segment=1))
    assert window.measure() is None
    window.add(FrameInfo(107, 1000 + 7 / 25, segment=1))
    measured = window.measure()
    assert measured is not None
    assert measured.rate_hz == pytest.approx(25)


def test_time_that_stands_still_has_no_rate() -> None:
    window = RateWindow()
    for number in range(20):
        window.add(FrameInfo(number, 3.0))
    assert window.measure() is None


def test_the_bound_on_a_sampled_sine_holds() -> None:
    """Sample a real sine at uneven times, take them as even, and compare with the stated error."""
    rate_hz, frequency_hz, jitter_s = 30.0, 8.0, 1.5e-3
    chance = np.random.default_rng(0)
    even_s = np.arange(20_000) / rate_hz
    late_s = chance.normal(0, jitter_s, even_s.size)
    error = np.sin(2 * np.pi * frequency_hz * (even_s + late_s)) - np.sin(2 * np.pi * frequency_hz * even_s)
    relative = np.sqrt((error**2).mean() / 0.5)  # to the sine's own RMS
    stated = band_error(frequency_hz, MeasuredRate(rate_hz, jitter_s, 5e-3, 0.0, 256))
    assert stated == pytest.approx(0.0754, rel=0.01)
    assert relative == pytest.approx(stated, rel=0.02)


@pytest.mark.parametrize(
    ("frequency_hz", "seen_hz"), [(10, 10), (14.9, 14.9), (20, 10), (30, 0), (31, 1), (44, 14), (46, 14)]
)
def test_motion_above_half_the_rate_shows_elsewhere(frequency_hz: float, seen_hz: float) -> None:
    assert alias_hz(frequency_hz, 30) == pytest.approx(seen_hz)
    times_s = np.arange(3000) / 30
    spectrum = np.abs(np.fft.rfft(np.cos(2 * np.pi * frequency_hz * times_s)))
    assert np.fft.rfftfreq(3000, 1 / 30)[spectrum.argmax()] == pytest.approx(seen_hz, abs=0.01)


def test_a_band_that_fits_is_not_warned_of() -> None:
    assert band_warnings(1, 10, MeasuredRate(30, 0.2e-3, 1e-3, 0.0, 256)) == []


def test_a_band_above_half_the_rate_is_told_with_where_it_would_show() -> None:
    (warning,) = band_warnings(10, 16, MeasuredRate(25.0, 0.0, 0.0, 0.0, 256))
    assert warning == (
        "the band up to 16 Hz does not fit a camera of 25 frames/s: motion at 16 Hz shows at 9 Hz; "
        "keep the band below 12.5 Hz, or film faster"
    )


def test_jitter_and_drops_are_told_with_what_they_leave() -> None:
    (jitter,) = band_warnings(1, 10, MeasuredRate(30, 2e-3, 6e-3, 0.0, 256))
    assert jitter == (
        "frames come 2 ms early or late: at 10 Hz that blurs 13% of a vibration; "
        "only below 3.98 Hz is it less than 5%; lock exposure and rate"
    )
    (drops,) = band_warnings(8, 10, MeasuredRate(30, 0.0, 0.0, 0.1, 256))
    assert drops == (
        "10.0% of the frames are missing: at 10 Hz that blurs 66% of a vibration; "
        "no part of the band is free of it; lower the rate or the resolution"
    )


def metered(intervals_s: list[float], nominal_rate_hz: float = 25.0) -> float:
    meter = RateMeter(nominal_rate_hz)
    for interval_s in intervals_s:
        meter.add(interval_s)
    return meter.rate_hz


def test_the_rate_is_the_stated_one_until_a_few_intervals_are_known() -> None:
    assert metered([1 / 30] * 15) == 25
    assert metered([1 / 30] * 16) == pytest.approx(30)


def test_a_clock_of_milliseconds_is_averaged_out() -> None:
    assert metered([0.033, 0.033, 0.034] * 20) == pytest.approx(30, rel=0.003)


def test_dropped_frames_do_not_lower_the_rate() -> None:
    assert metered(([1 / 30] * 5 + [3 / 30]) * 10) == pytest.approx(30)


def test_another_rate_is_found_within_the_window() -> None:
    # ... and the few frames until it is looked at again.
    assert metered([1 / 30] * 100 + [1 / 24] * (RateMeter.WINDOW + 8)) == pytest.approx(24)


def test_a_band_that_the_camera_cannot_show_is_warned_of_until_it_can() -> None:
    watch, window = BandWatch(2.0, 24.0), RateWindow()
    time_s, number = 0.0, 0

    def film(rate_hz: float, frames: int) -> tuple[str, ...]:
        nonlocal time_s, number
        warnings: tuple[str, ...] = ()
        for _ in range(frames):
            number, time_s = number + 1, time_s + 1 / rate_hz
            window.add(FrameInfo(number, time_s))
            measured = window.measure() if number % 50 == 0 else None
            if measured is not None:
                warnings = watch.look(measured)
        return warnings

    assert film(50.0, 400) == ()
    warned = film(40.0, 600)  # longer exposures at dusk
    assert len(warned) == 1
    assert "motion at 24 Hz shows at 16" in warned[0]  # to 2 %
    assert film(40.3, 600) == warned  # its cause lasts: its words stay
    assert "24.25 Hz" not in film(48.5, 600)[0]  # fits, but only just: not over yet
    assert film(60.0, 600) == ()
