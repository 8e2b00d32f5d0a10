"""Velocity, acceleration and limits as frames come: the same numbers as of a recording, late by a told time."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.runtime.vibration.monitoring.limits import Criterion
from tremorscope.runtime.vibration.monitoring.motion_levels import LimitWatch, MotionLevels, MotionWindows
from tremorscope.runtime.vibration.monitoring.standards import criterion_of

Values = NDArray[np.float64]
RATE_HZ = 60.0
FLOORS = np.full((2, 2), 1e-4)
LIMIT = Criterion("velocity", "peak", "mm/s", ((2.0, 50.0), (20.0, 50.0)))


def run(
    windows: MotionWindows, moved: Values, floors: Values = FLOORS, times: Values | None = None
) -> list[tuple[float, MotionLevels]]:
    """Times of the frames that completed a window, and its levels; ``moved`` is (N, regions, 2)."""
    stamps = np.arange(len(moved)) / RATE_HZ if times is None else times
    found = [
        (time_s, windows.add(float(time_s), row, floors)) for time_s, row in zip(stamps, moved, strict=True)
    ]
    return [(float(time_s), levels) for time_s, levels in found if levels is not None]


def swinging(seconds: float, hz: float = 5.0, amplitude: float = 0.5) -> Values:
    """Two regions: the first moves along y, the second on a circle."""
    turn = 2 * np.pi * hz * np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    first = np.stack([0 * turn, amplitude * np.sin(turn)], axis=1)
    second = np.stack([amplitude * np.cos(turn), amplitude * np.sin(turn)], axis=1)
    return np.stack([first, second], axis=1)


def test_levels_are_those_of_the_motion() -> None:
    found = run(MotionWindows(2, 1.0, RATE_HZ), swinging(12))
    velocity = 0.5 * 2 * math.pi * 5
    assert len(found) == 11
    for _, levels in found:
        line, circle = levels.of(0, 1), levels.of(1, 1)
        assert line.rms == pytest.approx(velocity / math.sqrt(2), rel=0.01)
        assert (circle.rms, circle.peak) == (
            pytest.approx(velocity, rel=0.01),
            pytest.approx(velocity, rel=0.01),
        )
        assert levels.of(1, 2).rms == pytest.approx(velocity * 2 * math.pi * 5, rel=0.01)


def test_windows_follow_each_other_and_are_late_by_what_is_told() -> None:
    windows = MotionWindows(2, 1.0, RATE_HZ)
    assert windows.behind_s == pytest.approx(15 / RATE_HZ)
    found = run(windows, swinging(12))
    assert np.diff([time_s for time_s, _ in found]) == pytest.approx(np.ones(10), abs=1.5 / RATE_HZ)
    for time_s, levels in found:
        assert windows.behind_s <= levels.behind_s <= windows.behind_s + 0.5 + 2 / RATE_HZ
        assert time_s > 1 + windows.behind_s


def test_a_burst_is_in_exactly_one_window() -> None:
    """No window is left out between two, and none counts twice."""
    moved = np.zeros((round(20 * RATE_HZ), 1, 2))
    at = round(9.4 * RATE_HZ)
    moved[at : at + 12, 0, 1] = 0.3 * np.sin(2 * np.pi * 5 * np.arange(12) / RATE_HZ)
    found = run(MotionWindows(1, 1.0, RATE_HZ), moved, FLOORS[:1])
    loud = [levels.of(0, 1).peak for _, levels in found if (levels.of(0, 1).peak or 0) > 3]
    assert len(loud) == 1


def test_noise_is_told_with_the_floor() -> None:
    rng = np.random.default_rng(0)
    moved = 0.01 * rng.standard_normal((round(40 * RATE_HZ), 1, 2))
    found = run(MotionWindows(1, 2.0, RATE_HZ), moved, np.full((1, 2), 0.01))
    for order in (1, 2):
        rms = [levels.of(0, order).rms for _, levels in found]
        assert np.mean(rms) == pytest.approx(found[0][1].of(0, order).noise, rel=0.05)


def test_limits_are_judged_to_scale_and_late_by_what_their_band_needs() -> None:
    din = criterion_of("din-4150-3", "residential")
    watches = (LimitWatch(0, LIMIT, 4.0), LimitWatch(1, din, 4.0), LimitWatch(1, LIMIT, 8.0))
    windows = MotionWindows(2, 1.0, RATE_HZ, watches)
    assert windows.behind_s == pytest.approx(3.0)  # 1 Hz of DIN 4150-3
    found = run(windows, swinging(15))
    for _, levels in found:
        flat, curve, other = (judged for _, judged in levels.judgements)
        assert flat.value == pytest.approx(4 * 0.5 * 2 * math.pi * 5, rel=0.02)
        assert curve.verdict == "exceeded"
        assert curve.coverage.partly == "judged only up to 24 of 100 Hz"
        assert other.value == pytest.approx(2 * flat.value, rel=0.02)
        assert [watch.region for watch, _ in levels.judgements] == [0, 1, 1]


def test_a_region_that_is_lost_does_not_disturb_the_others() -> None:
    moved = swinging(12)
    moved[200:500, 1] = np.nan
    found = run(MotionWindows(2, 1.0, RATE_HZ, (LimitWatch(1, LIMIT, 1.0),)), moved)
    assert all(
        levels.of(0, 1).rms == pytest.approx(0.5 * 2 * math.pi * 5 / math.sqrt(2), rel=0.01)
        for _, levels in found
    )
    known = [levels.of(1, 1).rms is not None for _, levels in found]
    assert known[0]
    assert known[-1]
    assert not all(known)
    assert any(judged.refusal for _, levels in found for _, judged in levels.judgements)


def test_an_axis_without_texture_takes_no_part() -> None:
    floors = np.array([[math.inf, 1e-4]])
    moved = swinging(8)[:, 1:].copy()
    moved[:, 0, 0] = np.nan
    watch = LimitWatch(0, Criterion("velocity", "peak", "px/s", ((2.0, 9.0), (20.0, 9.0)), ("x",)), None)
    found = run(MotionWindows(1, 1.0, RATE_HZ, (watch,)), moved, floors)
    assert len(found) == 4
    for _, levels in found:
        assert levels.of(0, 1).rms == pytest.approx(0.5 * 2 * math.pi * 5 / math.sqrt(2), rel=0.01)
        assert "shows no motion along the axis" in levels.judgements[0][1].refusal


def test_gaps_clocks_that_go_back_and_other_rates_than_stated_are_borne() -> None:
    times = np.arange(round(20 * RATE_HZ)) / RATE_HZ
    times[600:] += 5.0  # a gap of 5 s
    times[900:] -= 8.0  # and a clock that goes back
    found = run(MotionWindows(2, 1.0, RATE_HZ), swinging(20), times=times)
    rms = [levels.of(0, 1).rms for _, levels in found]
    known = [each for each in rms if each is not None]
    assert len(known) > 8
    assert known == pytest.approx([0.5 * 2 * math.pi * 5 / math.sqrt(2)] * len(known), rel=0.05)
    slow = run(MotionWindows(2, 1.0, 15.0), swinging(20))  # four times as many frames as stated
    assert len(slow) > 10


def test_the_work_is_spread_over_the_frames_of_half_a_window() -> None:
    """No frame pays for more than a few limits, however many there are."""
    watches = [LimitWatch(0, LIMIT, 1.0 + k) for k in range(128)]
    windows = MotionWindows(2, 1.0, RATE_HZ, watches)
    found = run(windows, swinging(8))
    assert len(found) >= 4
    for _, levels in found:
        assert len(levels.judgements) == 128
        assert windows.behind_s <= levels.behind_s <= windows.behind_s + 0.5 + 2 / RATE_HZ


def test_nothing_can_be_judged_is_told_at_once() -> None:
    iso = criterion_of("iso-20816-3", "group-1-rigid")
    found = run(MotionWindows(2, 1.0, 20.0, (LimitWatch(0, iso, 1.0),)), swinging(4))
    assert "20 frames/s show up to 8 Hz" in found[0][1].judgements[0][1].text()
