"""Schedule of a capture: visits spread evenly over the allowed hours of its duration.

There are more visits than pairs wanted. Two rules, both even in time, decide which candidates are kept:

* a new scene is kept if the set is not ahead of its schedule: after a tenth of the visits, at most a tenth of the
  pairs. Pairs not used in monotonous hours remain for eventful ones, such as a shower or a sunrise.
* a near-duplicate is kept only while the set is behind the fewest pairs that calibration needs.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime, time, timedelta

from tremorscope.calibration.errors import CalibrationFault

VISITS_A_PAIR = 3
_UNITS_S = {
    "s": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "day": 86400,
    "week": 604800,
}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s*", re.IGNORECASE)
_HOURS = re.compile(r"\s*(\d{1,2})(?::(\d{2}))?\s*-\s*(\d{1,2})(?::(\d{2}))?\s*")


@dataclass(frozen=True)
class Hours:
    """A part of the day in local time; it may reach past midnight."""

    start: time
    end: time

    def length_s(self) -> int:
        """Length in seconds on a day without a change of the clocks."""
        seconds = [at.hour * 3600 + at.minute * 60 for at in (self.start, self.end)]
        return (seconds[1] - seconds[0]) % 86400 or 86400


ALL_DAY = (Hours(time(0), time(0)),)


def parse_duration_s(text: str) -> float:
    """Seconds from words such as ``7 days``, ``36 h`` or ``90 minutes``.

    Raises:
        CalibrationFault: the text is not a duration.
    """
    found = _DURATION.fullmatch(text)
    unit = _UNITS_S.get(found[2].lower()) if found else None
    if found is None or unit is None or float(found[1]) <= 0:
        raise CalibrationFault(
            f"{text!r} is not a duration",
            remedy="give a number and a unit, such as '7 days', '36 h', '90 min'",
        )
    return float(found[1]) * unit


def parse_hours(text: str) -> tuple[Hours, ...]:
    """Parts of the day from ``all`` or a list such as ``5-9, 12-13, 17:30-21, 23-1``; in order of their beginning.

    Raises:
        CalibrationFault: a part is not readable, or two overlap.
    """
    if text.strip().lower() == "all":
        return ALL_DAY
    hours = []
    for part in text.split(","):
        found = _HOURS.fullmatch(part)
        try:
            if found is None:
                raise ValueError
            hours.append(Hours(_time_of(found[1], found[2]), _time_of(found[3], found[4])))
        except ValueError:
            raise CalibrationFault(
                f"schedule: {part.strip()!r} is not a part of the day",
                remedy="give hours in local time such as '5-9, 12-13, 17:30-21, 23-1', or 'all'",
            ) from None
    hours.sort(key=lambda each: each.start)
    starts = [each.start.hour * 3600 + each.start.minute * 60 for each in hours]
    for index, each in enumerate(hours):
        until_next = starts[(index + 1) % len(hours)] - starts[index]
        if len(hours) > 1 and each.length_s() > until_next % 86400:
            raise CalibrationFault(
                f"schedule: {text!r}: parts of the day overlap", remedy="join them into one part"
            )
    return tuple(hours)


def _time_of(hour: str, minute: str | None) -> time:
    return time(int(hour) % 24 if int(hour) <= 24 else int(hour), int(minute or 0))


@dataclass(frozen=True)
class VisitSchedule:
    """Times of the visits of a capture, in local time."""

    started_at: datetime
    """Start, with its time zone."""
    over_s: float
    visits: int
    hours: tuple[Hours, ...] = ALL_DAY

    def visit_at(self, number: int) -> datetime:
        """Due time of a visit, counted from 0."""
        wanted_s = number / self.visits * self._open_s
        for start, end in self._spans():
            length_s = (end - start).total_seconds()
            if wanted_s < length_s:
                return start + timedelta(seconds=wanted_s)
            wanted_s -= length_s
        return self.ends_at

    def due(self, now: datetime) -> int:
        """Number of visits that are due or past."""
        spans = [(start, min(end, now)) for start, end in self._spans() if start <= now]
        if not spans:
            return 0
        elapsed_s = sum((end - start).total_seconds() for start, end in spans)
        due = min(self.visits, 1 + math.floor(elapsed_s / self._open_s * self.visits))
        # A visit due exactly at the end of one part of the day belongs to the beginning of the next.
        return due if self.visit_at(due - 1) <= now else due - 1

    @property
    def ends_at(self) -> datetime:
        """End of the capture."""
        return self.started_at + timedelta(seconds=self.over_s)

    @property
    def _open_s(self) -> float:
        return sum((end - start).total_seconds() for start, end in self._spans())

    def _spans(self) -> list[tuple[datetime, datetime]]:
        """Allowed spans of time, in order, in the time zone of the start."""
        if self.hours == ALL_DAY:
            return [(self.started_at, self.ends_at)]
        zone = self.started_at.tzinfo
        spans = []
        day = self.started_at.date() - timedelta(days=1)  # a part that began last evening may still last
        while day <= self.ends_at.date():
            for each in self.hours:
                start = datetime.combine(day, each.start, tzinfo=zone)
                end = start + timedelta(seconds=each.length_s())
                start, end = max(start, self.started_at), min(end, self.ends_at)
                if start < end:
                    spans.append((start, end))
            day += timedelta(days=1)
        if not spans:
            raise CalibrationFault(
                "schedule: no time between the start and the end of the capture belongs to it",
                remedy="let it last longer (--over), or widen --schedule",
            )
        return spans


@dataclass(frozen=True)
class Pace:
    """Numbers of pairs that a set may and should have after each visit."""

    wanted: int
    fewest: int
    visits: int

    def takes_new(self, kept: int, visit: int) -> bool:
        """True if a new scene may be kept at a visit, counted from 0."""
        return kept < min(self.wanted, math.ceil(self.wanted * (visit + 1) / self.visits))

    def takes_alike(self, kept: int, visit: int) -> bool:
        """True if even a near-duplicate is to be kept at a visit."""
        fewest = min(self.fewest, self.wanted)
        return kept < math.ceil(fewest * (visit + 1) / self.visits)
