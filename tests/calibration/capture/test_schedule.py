"""When a capture looks, and how many pairs it keeps by when."""

from __future__ import annotations

from collections import Counter
from datetime import datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.calibration.capture.collector import Pace
from tremorscope.calibration.capture.visits import VisitSchedule, parse_duration_s, parse_hours
from tremorscope.calibration.errors import CalibrationFault

START = datetime(2026, 3, 1, 14, 20, tzinfo=timezone(timedelta(hours=1)))
PARTS = ["all", "5-9", "5-9,12-13,17:30-21,23-1", "0-24", "22-6"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7 days", 604800),
        ("1 day", 86400),
        ("36h", 129600),
        ("90 minutes", 5400),
        ("0.5 h", 1800),
        ("30 s", 30),
        ("2 weeks", 1209600),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "days", "0 h", "-1 h", "7 parsecs", "1 h 30", "nan h", "1e9 h"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(CalibrationFault, match="is not a duration"):
        parse_duration_s(text)


@pytest.mark.parametrize("text", ["", "5", "5-", "5-25", "5:70-6", "noon"])
def test_what_is_no_part_of_a_day_is_refused(text: str) -> None:
    with pytest.raises(CalibrationFault, match="is not a part of the day"):
        parse_hours(text)


def test_parts_of_the_day_must_not_overlap() -> None:
    assert len(parse_hours("5-9, 9-12")) == 2
    for text in ("5-9, 8-12", "22-6, 5-7"):
        with pytest.raises(CalibrationFault, match="overlap"):
            parse_hours(text)


@given(
    parts=st.sampled_from(PARTS), visits=st.integers(2, 60), days=st.floats(1, 9), asked=st.floats(-0.2, 1.2)
)
@settings(max_examples=60, deadline=None)
def test_a_visit_is_due_exactly_when_its_time_has_come(
    parts: str, visits: int, days: float, asked: float
) -> None:
    schedule = VisitSchedule(START, days * 86400, visits, parse_hours(parts))
    times = [schedule.visit_at(number) for number in range(visits)]
    assert times == sorted(times)
    assert times[0] >= START
    assert times[-1] <= schedule.ends_at
    now = START + timedelta(seconds=asked * days * 86400)
    early = now - timedelta(milliseconds=1)
    late = now + timedelta(milliseconds=1)
    assert sum(t <= early for t in times) <= schedule.due(now) <= sum(t <= late for t in times)


def test_a_week_of_visits_sees_every_hour_alike() -> None:
    schedule = VisitSchedule(START, 7 * 86400, 768)
    hours = Counter(schedule.visit_at(number).hour for number in range(768))
    assert set(hours) == set(range(24))
    assert max(hours.values()) - min(hours.values()) <= 1


def test_visits_keep_to_the_parts_of_the_day() -> None:
    schedule = VisitSchedule(START, 3 * 86400, 300, parse_hours("5-9, 17:30-21"))
    for number in range(300):
        at = schedule.visit_at(number)
        assert 5 <= at.hour < 9 or 17.5 <= at.hour + at.minute / 60 < 21


def test_a_schedule_that_never_comes_is_refused() -> None:
    with pytest.raises(CalibrationFault, match="no time between the start and the end"):
        VisitSchedule(START, 3600, 10, parse_hours("5-9")).due(START)


@given(wanted=st.integers(32, 300), visits_a_pair=st.integers(1, 4))
def test_what_is_always_new_fills_the_set_evenly_to_the_end(wanted: int, visits_a_pair: int) -> None:
    pace, kept = Pace(wanted, 32, wanted * visits_a_pair), 0
    for visit in range(pace.visits):
        kept += pace.takes_new(kept, visit)
        assert abs(kept - wanted * (visit + 1) / pace.visits) <= 1
    assert kept == wanted


@given(wanted=st.integers(32, 300))
def test_what_is_always_alike_still_gives_the_fewest_pairs_spread_evenly(wanted: int) -> None:
    pace, taken = Pace(wanted, 32, 3 * wanted), []
    for visit in range(pace.visits):
        if pace.takes_alike(len(taken), visit):
            taken.append(visit)
    assert len(taken) == 32
    gaps = [later - earlier for earlier, later in pairwise(taken)]
    assert max(gaps) - min(gaps) <= 1


def test_what_dull_hours_leave_lively_ones_may_spend() -> None:
    pace, kept = Pace(wanted=100, fewest=32, visits=300), 0
    for visit in range(300):
        dull = visit < 200
        kept += pace.takes_alike(kept, visit) if dull else pace.takes_new(kept, visit)
        if visit == 199:
            assert kept == 22
    assert kept == 100
