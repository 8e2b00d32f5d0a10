"""Frames are numbered by their source where it does so, else counted, and losses are seen by time."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.cameras.gstreamer.numbering import FrameNumbers


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.floats(0.001, 2.0), st.integers(0, 100))
def test_the_sources_own_numbers_are_kept(gaps: list[int], period_s: float, start: int) -> None:
    own = [start + int(n) for n in np.cumsum(gaps)]
    numbers = FrameNumbers(numbered=True)
    assert [numbers.next(number, number * period_s) for number in own] == own


@given(
    st.lists(st.integers(1, 3), max_size=60),
    st.floats(0.002, 1.0),
    st.floats(0, 0.05),
    st.integers(0, 2**32 - 1),
)
def test_what_was_lost_is_counted_by_time_in_spite_of_jitter(
    gaps: list[int], period_s: float, jitter: float, seed: int
) -> None:
    # Ten even frames tell the period; later up to every third may come after a gap.
    gaps = [gap if n % 3 == 0 else 1 for n, gap in enumerate(gaps)]
    true = np.concatenate([np.arange(10), 9 + np.cumsum(gaps)]).astype(int)
    noise = np.random.default_rng(seed).uniform(-jitter, jitter, true.size)
    numbers = FrameNumbers(numbered=False)
    counted = [numbers.next(None, t) for t in (true + noise) * period_s]
    assert counted == list(true)


def test_a_driver_whose_numbers_stand_still_is_counted() -> None:
    numbers = FrameNumbers(numbered=True)
    assert [numbers.next(0, n / 30) for n in range(20)] == list(range(20))


def test_a_camera_that_slows_down_is_followed() -> None:
    numbers = FrameNumbers(numbered=False)
    times_s = [n / 30 for n in range(30)] + [1 + n / 10 for n in range(30)]
    counted = [numbers.next(None, t) for t in times_s]
    assert list(np.diff(counted)[-20:]) == [1] * 20


def test_frames_without_a_time_and_times_that_go_back_are_counted_one_by_one() -> None:
    numbers = FrameNumbers(numbered=False)
    times_s = [n / 30 for n in range(12)] + [math.nan, math.nan, 0.5, 0.53, 0.1]
    assert [numbers.next(None, t) for t in times_s] == list(range(17))


def test_a_clock_that_is_set_is_no_million_lost_frames() -> None:
    numbers = FrameNumbers(numbered=False)
    for n in range(12):
        numbers.next(None, n / 30)
    assert numbers.next(None, 1e9) == 12
