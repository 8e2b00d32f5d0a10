"""From the camera's time to Unix time: evenly, and right in the long run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.service.clock import UnixClock


class Clocks:
    """A system's clock, and the camera's beside it."""

    def __init__(self) -> None:
        self.unix_s, self.monotonic_s = 1.7e9, 50.0
        self.clock = UnixClock(unix_clock=lambda: self.unix_s, clock=lambda: self.monotonic_s)

    def pass_on(self, seconds: float) -> None:
        self.unix_s += seconds
        self.monotonic_s += seconds


def test_frames_keep_their_intervals_however_late_they_are_looked_at() -> None:
    clocks, rng, found = Clocks(), np.random.default_rng(1), []
    for number in range(3000):
        clocks.pass_on(1 / 30)
        arrived_s = clocks.monotonic_s
        late_s = rng.uniform(0, 0.2)
        clocks.pass_on(late_s)
        found.append(clocks.clock.take(number / 30, arrived_s))
        clocks.pass_on(-late_s)
    assert np.abs(np.diff(found) - 1 / 30).max() < 1e-6
    assert found[-1] == pytest.approx(1.7e9 + 3000 / 30, abs=0.001)


@given(drift=st.floats(-8e-5, 8e-5))
@settings(max_examples=20, deadline=None)
def test_a_camera_that_drifts_is_followed(drift: float) -> None:
    """80 ppm are seven seconds a day; the mapping stays within 5 ms of the system's clock."""
    clocks = Clocks()
    found = 0.0
    for number in range(20_000):
        clocks.pass_on(0.1)
        found = clocks.clock.take(number * 0.1 * (1 + drift), clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.005)
    assert clocks.clock.steps == 0


def test_intervals_change_by_no_more_than_a_ten_thousandth_while_half_a_second_is_made_up_for() -> None:
    clocks, found = Clocks(), []
    for number in range(1000):
        clocks.pass_on(0.1)
        found.append(clocks.clock.take(number / 10, clocks.monotonic_s))
    clocks.unix_s += 0.5
    for number in range(1000, 100_000):
        clocks.pass_on(0.1)
        found.append(clocks.clock.take(number / 10, clocks.monotonic_s))
    assert np.abs(np.diff(found) / 0.1 - 1).max() <= 1.05e-4  # and what a float64 of Unix time rounds
    assert found[-1] == pytest.approx(clocks.unix_s, abs=0.001)
    assert clocks.clock.steps == 0


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 1e8])
def test_a_clock_that_was_set_is_followed_at_once_and_counted(step_s: float) -> None:
    clocks = Clocks()
    for number in range(200):
        if number == 100:
            clocks.unix_s += step_s
        clocks.pass_on(0.1)
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.01)
    assert clocks.clock.steps == 1
    assert clocks.clock.set_by_s == pytest.approx(step_s, abs=1e-3)
    # What alarms are judged by has not noticed.
    assert clocks.clock.steady_s == pytest.approx(clocks.monotonic_s, abs=0.001)


def test_a_camera_that_falls_behind_is_followed_and_the_systems_clock_not_blamed() -> None:
    """A replayed clip on a device with too much to do: its time stands still meanwhile."""
    clocks = Clocks()
    for number in range(400):
        if number in (100, 200):
            clocks.pass_on(3.0)
        clocks.pass_on(0.1)
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert found == pytest.approx(clocks.unix_s, abs=0.01)
    assert clocks.clock.steps == 0


def test_one_late_frame_is_no_step() -> None:
    clocks = Clocks()
    for number in range(200):
        clocks.pass_on(0.1)
        clocks.unix_s += 30.0 if number == 100 else -30.0 if number == 101 else 0.0
        found = clocks.clock.take(number / 10, clocks.monotonic_s)
    assert clocks.clock.steps == 0
    assert found == pytest.approx(clocks.unix_s, abs=0.001)
