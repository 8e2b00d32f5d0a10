"""Natural frequencies are followed over days."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.tracking import FrequencyTracker, Sighting, TrackerSettings

HOUR_S = 3600.0
FIRST, SECOND = np.array([1.0 + 0j, 1.0]), np.array([1.0 + 0j, -1.0])


def test_modes_keep_their_numbers_while_they_wander() -> None:
    rng = np.random.default_rng(0)
    tracker = FrequencyTracker()
    for step in range(432):  # three days, every ten minutes
        daily = 0.02 * np.sin(2 * np.pi * step / 144)
        sightings = [
            Sighting(f * (1 + daily) + 0.003 * rng.standard_normal(), 0.003) for f in (2.1, 4.7, 8.9)
        ]
        tracker.update(600.0 * step, sightings)
    assert [track.number for track in tracker.tracks] == [1, 2, 3]
    assert all(track.seen == 432 for track in tracker.tracks)


def test_modes_that_cross_are_told_apart_by_their_shapes() -> None:
    tracker = FrequencyTracker()
    for step in range(40):
        rising, falling = 2.0 + 0.005 * step, 2.2 - 0.005 * step
        tracker.update(600.0 * step, [Sighting(rising, 0.002, FIRST), Sighting(falling, 0.002, SECOND)])
    by_number = {track.number: track.latest.frequency_hz for track in tracker.tracks}
    assert by_number == {1: pytest.approx(2.195), 2: pytest.approx(2.005)}


def test_a_passing_noise_never_becomes_a_mode() -> None:
    rng = np.random.default_rng(1)
    tracker = FrequencyTracker()
    for step in range(200):
        noise = [Sighting(float(rng.uniform(1, 100)), 0.01)] if rng.random() < 0.3 else []
        tracker.update(600.0 * step, [Sighting(3.0, 0.002), *noise])
    assert len([track for track in tracker.tracks if track.seen > 20]) == 1
    assert len(tracker.tracks) <= 4


def test_a_mode_that_pauses_is_known_again_and_one_long_gone_is_not() -> None:
    tracker = FrequencyTracker(TrackerSettings(forget_after_s=10 * HOUR_S))
    for step in range(5):
        tracker.update(600.0 * step, [Sighting(3.0, 0.01)])
    tracker.update(5 * HOUR_S, [Sighting(3.01, 0.01)])
    assert [track.number for track in tracker.tracks] == [1]
    tracker.update(50 * HOUR_S, [Sighting(3.01, 0.01)])
    assert tracker.tracks == ()


def test_the_estimate_is_smoother_than_the_sightings() -> None:
    rng = np.random.default_rng(2)
    tracker = FrequencyTracker(TrackerSettings(drift_a_hour=1e-4))
    estimates = []
    for step in range(300):
        (track, *_) = tracker.update(600.0 * step, [Sighting(2 + 0.01 * rng.standard_normal(), 0.01)]) or (
            None,
        )
        if track is not None and step > 100:
            estimates.append(track.frequency_hz)
    assert np.std(estimates) < 0.004


def test_history_is_bounded() -> None:
    tracker = FrequencyTracker(TrackerSettings(history=50))
    for step in range(500):
        tracker.update(float(step), [Sighting(2.0, 0.01)])
    assert len(tracker.tracks[0].points) == 50


def test_time_that_runs_backwards_is_refused() -> None:
    tracker = FrequencyTracker()
    tracker.update(10.0, [])
    with pytest.raises(OptionFault, match="an analysis at 10"):
        tracker.update(10.0, [])


@pytest.mark.parametrize("set_by_s", [-100.0, 86_400.0, 1.78e9])
def test_modes_keep_their_numbers_when_the_clock_is_set(set_by_s: float) -> None:
    tracker = FrequencyTracker()
    for number in range(5):
        tracker.update(60.0 * number, [Sighting(2.1, 0.001, None)])
    tracker.shift(set_by_s)
    (track,) = tracker.update(300.0 + set_by_s, [Sighting(2.1, 0.001, None)])
    assert (track.number, track.seen, track.last_s) == (1, 6, 300.0 + set_by_s)


def test_modes_that_an_earlier_process_saw_by_a_clock_ahead_are_followed() -> None:
    tracker = FrequencyTracker()
    tracker.resume(7, 30 * HOUR_S, Sighting(3.0, 0.01, FIRST))
    assert [track.number for track in tracker.update(HOUR_S, [Sighting(3.01, 0.01, FIRST)])] == [7]
