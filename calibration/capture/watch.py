"""Scheduled capture from a camera over hours and days; the camera is closed in long pauses."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tremorscope.calibration.capture.capture import Collector, Progress, Say
from tremorscope.calibration.capture.pair_reader import PairReader
from tremorscope.calibration.capture.schedule import VisitSchedule, parse_hours
from tremorscope.calibration.capture.source import CaptureSource
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.info import Camera

SETTLE_S = 2.0
"""Time for exposure and white balance to settle after a camera is opened."""
_STAYS_OPEN_S = 20.0
"""Longest pause in which the camera stays open and is read on."""
_MOST_FAILURES = 5
_LONGEST_NAP_S = 60.0


@dataclass(frozen=True)
class Clocks:
    """Time of day and waiting, replaced in tests."""

    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    sleep: Callable[[float], None] = time.sleep


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
        self._camera: Camera | None = None
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
        if self._reader is None:
            # In short naps, for the clock may be set meanwhile.
            self._clocks.sleep(min(max(left_s, 0.01), _LONGEST_NAP_S))
        else:
            self._attempt(self._read_on)

    def _make(self, number: int) -> None:
        collector = self._collector
        if number > collector.state.visits_done:
            collector.count("missed", number - collector.state.visits_done)
        if not collector.wants(number):
            collector.state.visits_done = number + 1
            return
        collector.state.visits_done = number
        self._attempt(lambda: self._visit(number))
        collector.state.visits_done = number + 1

    def _attempt(self, work: Callable[[], None]) -> None:
        """Run a camera operation; a few failures are reported and tolerated."""
        try:
            work()
        except CameraFault as fault:
            self._close()
            self._failures += 1
            self._collector.count("failed")
            self._collector.note()
            if self._due_only or self._failures >= _MOST_FAILURES:
                raise
            self._say(f"visit {self._collector.state.visits_done + 1}: {fault}")

    def _visit(self, number: int) -> None:
        collector, distances_s = self._collector, self._collector.settings.distances_s
        reader = self._opened()
        outcome = collector.visit(
            number, reader, lambda _candidate: self._clocks.now(), distances_s[number // 2 % len(distances_s)]
        )
        if outcome == "ended":
            raise self._ended()
        self._failures = 0
        if outcome == "kept":
            self._say(f"pair {collector.writer.count} of {collector.settings.wanted} kept")
        else:
            collector.note()

    def _opened(self) -> PairReader:
        """Reader of the camera, opened and settled if necessary, with a fresh frame."""
        if self._reader is None:
            self._camera = self._source.open()
            reader = PairReader(self._camera, longest_s=2 * max(self._collector.settings.distances_s))
            if not reader.advance_to(SETTLE_S):
                raise self._ended()
            reader.forget()
            self._reader = reader
        self._read_on()
        return self._reader

    def _read_on(self) -> None:
        assert self._reader is not None
        if not self._reader.advance():
            raise self._ended()

    def _ended(self) -> CameraFault:
        return CameraFault(f"{self._source.name}: gave no more frames", remedy="see to the camera")

    def _close(self) -> None:
        if self._camera is not None:
            with suppress(CameraFault):  # it is abandoned in any case
                self._camera.close()
        self._camera = self._reader = None
