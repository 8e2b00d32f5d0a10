"""Times rise and numbers follow whatever a source's clock and counter do.

Frames are numbered by their source where it does so, else counted, and losses are seen by time.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.cameras.supervision.timeline import FrameNumbers, FrameTimeline, PlacedFrame
from tremorscope.runtime.frames.frame import FrameInfo

PERIOD_S = 1 / 30


def placed(*frames: tuple[int, float, float]) -> list[PlacedFrame]:
    """Places of frames given as number, sensor's time and host's time."""
    continuity = FrameTimeline(jump_s=0.5)
    continuity.reopen(30)
    return [continuity.place(FrameInfo(number, time_s), host_s) for number, time_s, host_s in frames]


def test_times_of_an_even_source_are_the_sensors_own() -> None:
    places = placed(*((n + 70, 5 + n * PERIOD_S, n * PERIOD_S) for n in range(1000)))
    assert [p.info.timestamp_s for p in places] == [5 + n * PERIOD_S for n in range(1000)]
    assert [p.info.sequence for p in places] == list(range(1000))
    assert {p.info.segment for p in places} == {0}


def test_a_gap_in_the_numbers_is_a_drop() -> None:
    last = placed((0, 0, 0), (5, 5 * PERIOD_S, 5 * PERIOD_S))[-1]
    assert (last.info.sequence, last.dropped, last.trouble, last.info.segment) == (5, 4, "", 0)


def test_an_hour_of_drops_is_believed_if_time_says_so_too() -> None:
    last = placed((0, 0, 0), (108_000, 3600.0, 1.0))[-1]
    assert (last.dropped, last.info.segment) == (107_999, 0)


def test_a_pause_that_the_source_does_not_number_is_no_jump() -> None:
    last = placed((0, 0, 0), (1, 7.0, 7.1))[-1]
    assert (last.info.timestamp_s, last.info.segment, last.trouble) == (7.0, 0, "")


@pytest.mark.parametrize("leap_s", [3600.0, -0.001, -3600.0, 1e15, 0.6])
def test_a_leap_begins_a_segment_as_far_on_as_the_hosts_clock_says(leap_s: float) -> None:
    places = placed((0, 0, 0), (1, leap_s, 0.04), (2, leap_s + PERIOD_S, 0.07))
    assert places[1].info == FrameInfo(1, pytest.approx(0.04), 1)
    assert "time leapt by" in places[1].trouble
    assert places[1].dropped == 0
    if leap_s < 1e10:
        assert places[2].info == FrameInfo(2, pytest.approx(0.04 + PERIOD_S), 1)


@pytest.mark.parametrize("number", [0, 5, -3, 10**9])
def test_numbers_that_cannot_be_are_not_counted_as_drops(number: int) -> None:
    last = placed((5, 0, 0), (number, PERIOD_S, PERIOD_S))[-1]
    assert (last.dropped, last.info.sequence, last.info.segment) == (0, 1, 1)
    assert last.trouble == f"the frame after number 5 has number {number}"


def test_a_reopened_camera_on_the_same_clock_keeps_its_times() -> None:
    continuity = FrameTimeline(jump_s=0.5)
    continuity.reopen(30)
    continuity.place(FrameInfo(900, 100.0), 10.0)
    continuity.reopen(30)
    assert continuity.place(FrameInfo(0, 103.2), 13.3) == PlacedFrame(FrameInfo(1, 103.2, 1), 0, "")
    continuity.reopen(30)
    assert continuity.place(FrameInfo(0, 0.0), 15.3).info == FrameInfo(2, pytest.approx(105.2), 2)


def test_a_slower_rate_than_stated_is_learned() -> None:
    """In low light 30 frames/s become 10; then 15 lost frames are 1.5 s, and no leap."""
    frames = [(n, n * 0.1, 0.0) for n in range(300)]
    last = placed(*frames, (315, 31.4, 0.0))[-1]
    assert (last.dropped, last.trouble) == (15, "")


moments = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e20, max_value=1e20)
frames = st.tuples(st.integers(-(2**40), 2**40), moments, st.floats(0, 100))


@given(st.lists(st.one_of(frames, st.none()), min_size=2, max_size=30))
@settings(max_examples=100, deadline=None)
def test_whatever_comes_times_rise_and_numbers_add_up(history: list[tuple[int, float, float] | None]) -> None:
    continuity = FrameTimeline(jump_s=0.5)
    continuity.reopen(30)
    host_s, before = 0.0, None
    for frame in history:
        if frame is None:
            continuity.reopen(30)
            continue
        host_s += frame[2]
        place = continuity.place(FrameInfo(frame[0], frame[1]), host_s)
        assert math.isfinite(place.info.timestamp_s)
        assert place.dropped >= 0
        if before is not None:
            assert place.info.timestamp_s > before.timestamp_s
            assert place.info.sequence == before.sequence + 1 + place.dropped
            assert place.info.segment - before.segment in (0, 1)
        before = place.info


def test_where_the_source_begins_a_new_segment_so_does_the_axis_and_time_goes_on() -> None:
    axis = FrameTimeline(jump_s=0.5)
    axis.reopen(30.0)
    placed = [axis.place(FrameInfo(n, n / 30, segment=n // 4), n / 30) for n in range(10)]
    assert [p.info.segment for p in placed] == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2]
    assert [p.trouble for p in placed] == [""] * 10
    assert [p.info.timestamp_s for p in placed] == [n / 30 for n in range(10)]


def test_a_damaged_frame_far_ahead_is_left_to_the_gap_before_the_next_whole_one() -> None:
    axis = FrameTimeline(jump_s=0.5)
    axis.reopen(30.0)
    axis.place(FrameInfo(0, 0.0), 0.0)
    assert axis.skip(5) == 4
    assert axis.skip(65) is None
    assert axis.place(FrameInfo(66, 2.2), 2.2).dropped == 60


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
