"""Visits of a camera over hours and days, spread evenly over the allowed hours; it is closed in long pauses."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from time import sleep

from tremorscope.calibration.capture.collector import Collector
from tremorscope.calibration.capture.frames import CaptureSource
from tremorscope.calibration.capture.pair_reader import PairReader
from tremorscope.calibration.errors import CalibrationFault
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.host.progress import Progress

SETTLE_S = 2.0
"""Time for exposure and white balance to settle after a camera is opened."""
_STAYS_OPEN_S = 20.0
"""Longest pause in which the camera stays open."""
_MOST_FAILURES = 5
_LONGEST_NAP_S = 60.0
Say = Callable[[str], None]
"""Takes a human-readable line."""
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

    >>> parse_duration_s('7 days'), parse_duration_s('90 min'), parse_duration_s('36 h')
    (604800.0, 5400.0, 129600.0)
    >>> parse_duration_s('a week')
    Traceback (most recent call last):
        ...
    tremorscope.calibration.errors.CalibrationFault: 'a week' is not a duration: give a number ...
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

    >>> [(each.start.hour, each.length_s() / 3600) for each in parse_hours('5-9, 17:30-21, 23-1')]
    [(5, 4.0), (17, 3.5), (23, 2.0)]
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
        return bisect_right(range(self.visits), now, key=self.visit_at)

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
class Clocks:
    """Time of day and waiting, replaced in tests."""

    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    sleep: Callable[[float], None] = sleep


class ScheduledCapture:
    """Visits a camera on a schedule, and passes each candidate pair to a collector."""

    def __init__(
        self,
        collector: Collector,
        source: CaptureSource,
        progress: Progress,
        say: Say,
        clocks: Clocks,
        *,
        due_only: bool,
    ) -> None:
        """Resume at the visit in the collector's state.

        Args:
            collector: judges and stores the pairs.
            source: a camera.
            progress: called with visits done and all visits.
            say: called with a line for each kept pair and each failed visit.
            clocks: sources of time.
            due_only: return when no visit is due.
        """
        self._collector, self._source, self._due_only = collector, source, due_only
        self._progress, self._say, self._clocks = progress, say, clocks
        settings = collector.settings
        self._schedule = VisitSchedule(
            settings.started_at, settings.over_s, settings.visits, parse_hours(settings.schedule)
        )
        self._reader: PairReader | None = None
        self._failures = 0

    def run(self) -> bool:
        """Make the visits that are due and, unless ``due_only``, those to come; True once the last is made.

        Raises:
            Fault: the camera failed repeatedly, or the disk is full.
        """
        try:
            while self._left and not self._collector.full:
                self._progress(self._collector.state.visits_done, self._collector.settings.visits)
                due = self._schedule.due(self._clocks.now())
                if due > self._collector.state.visits_done:
                    self._make(due - 1)
                elif self._due_only:
                    return False
                else:
                    self._wait()
            return True
        finally:
            self._close()

    @property
    def _left(self) -> int:
        return self._collector.settings.visits - self._collector.state.visits_done

    def _wait(self) -> None:
        """Wait some time for the next visit, with the camera open if it is soon."""
        at = self._schedule.visit_at(self._collector.state.visits_done)
        left_s = (at - self._clocks.now()).total_seconds()
        if left_s > _STAYS_OPEN_S:
            self._close()
        # In short naps, for the clock may be set meanwhile.
        self._clocks.sleep(min(max(left_s, 0.01), _LONGEST_NAP_S))

    def _make(self, number: int) -> None:
        collector = self._collector
        if number > collector.state.visits_done:
            collector.count("missed", number - collector.state.visits_done)
        if not collector.wants(number):
            collector.state.visits_done = number + 1
            return
        collector.state.visits_done = number
        try:
            self._visit(number)
        except CameraFault as fault:
            self._close()
            self._failures += 1
            collector.count("failed")
            collector.note()
            if self._due_only or self._failures >= _MOST_FAILURES:
                raise
            self._say(f"visit {number + 1}: {fault}")
        collector.state.visits_done = number + 1

    def _visit(self, number: int) -> None:
        collector, distances_s = self._collector, self._collector.settings.distances_s
        if self._reader is None:
            self._reader = PairReader(
                self._source.open(),
                lambda _: self._clocks.now(),
                longest_s=2 * max(distances_s),
                settle_s=SETTLE_S,
            )
        reader = self._reader
        outcome = "ended"
        if reader.advance():
            outcome = collector.visit(number, reader, distances_s[number // 2 % len(distances_s)])
        if outcome == "ended":
            raise CameraFault(f"{self._source.name}: gave no more frames", remedy="see to the camera")
        self._failures = 0
        if outcome == "kept":
            self._say(f"pair {collector.writer.count} of {collector.settings.wanted} kept")
        else:
            collector.note()

    def _close(self) -> None:
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()
