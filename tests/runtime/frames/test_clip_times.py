"""The time axis that is reported: rates, durations and frequencies of clips with even and uneven times."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tremorscope.runtime.frames.clip_times import FrameTimes, TimeAxis


def axis_of(times_s: list[float], capture_rate_hz: float | None = None) -> TimeAxis:
    times = FrameTimes()
    for time_s in times_s:
        times.add(time_s)
    return times.axis(Fraction(1, 1000), capture_rate_hz)


def test_an_even_clip_has_its_rate_and_half_of_it() -> None:
    axis = axis_of([10 + number / 25 for number in range(50)])
    assert axis.playback_rate_hz == pytest.approx(25)
    assert axis.playback_s == pytest.approx(2)
    assert axis.nyquist_hz == pytest.approx(12.5)
    assert not axis.varies


def test_times_rounded_to_milliseconds_are_still_even() -> None:
    axis = axis_of([round(number / 30, 3) for number in range(90)])
    assert axis.playback_rate_hz == pytest.approx(30, rel=1e-3)
    assert not axis.varies


def test_a_variable_rate_is_said_to_vary() -> None:
    axis = axis_of([0.0, 0.04, 0.12, 0.16, 0.20])
    assert axis.playback_rate_hz == pytest.approx(20)
    assert axis.varies
    assert "variable rate" in axis.lines()[0]


def test_the_capture_rate_changes_reality_and_not_the_playback() -> None:
    axis = axis_of([number / 30 for number in range(300)], capture_rate_hz=600)
    assert axis.playback_s == pytest.approx(10)
    assert axis.real_duration_s == pytest.approx(0.5)
    assert axis.nyquist_hz == pytest.approx(300)
    assert axis.lines() == [
        "playback       10.000 s at 30 frames/s, as in the clip",
        "reality        0.5 s filmed at 600 Hz: 1 s of playback is 0.05 s",
        "frequencies    up to 300 Hz; f Hz is seen as f / 20 in playback",
    ]


def test_one_frame_has_no_rate() -> None:
    with pytest.raises(ValueError, match="two frames"):
        axis_of([0.0])
