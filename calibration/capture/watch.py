"""A camera that is looked at now and then over hours and days, and left alone in between."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from tremorscope.calibration.capture.capture import Collector, Progress, Say
from tremorscope.calibration.capture.pair_reader import Look
from tremorscope.calibration.capture.schedule import Schedule, parse_hours
from tremorscope.calibration.capture.source import Source
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.info import Camera

SETTLE_S = 2.0
"""What a camera's exposure and white balance are given after it was opened."""
_STAYS_OPEN_S = 20.0
"""Shorter pauses are read through with the camera open: opening it would take a good part of them."""
_MOST_FAILURES = 5
_LONGEST_NAP_S = 60.0


@dataclass(frozen=True)
class Clocks:
    """The time of day and a way to wait, to be replaced in tests."""

    now: Callable[[], datetime] = lambda: datetime.now().astimezone()
    sleep: Callable[[float], None] = time.sleep


class Watch:
    """Makes the visits of a schedule."""

    def __init__(
        self, collector: Collector, source: Source, progress: Progress, say: Say, clocks: Clocks, *, due_only: bool
    ) -> None:  # fmt: skip
        """Prepare to go on where the collector's state says.

        Args:
            collector: takes what is seen.
            source: a camera.
            progress: called with visits done and all visits.
            say: told of each pair that was kept and of each visit that failed.
            clocks: where time comes from.
            due_only: end when nothing is due.
        """
        self._collector, self._source, self._due_only = collector, source, due_only
        self._progress, self._say, self._clocks = progress, say, clocks
        settings = collector.settings
        self._schedule = Schedule(
            settings.started_at, settings.over_s, settings.visits, parse_hours(settings.schedule)
        )
        self._camera: Camera | None = None
        self._look: Look | None = None
        self._failures = 0

    def run(self) -> bool:
        """Make the visits that are due, and unless told otherwise those to come; True once the last is made.

        Raises:
            Fault: the camera failed time and again, or the disk is full.
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
        """Wait a while for the next visit, with the camera open if it comes soon."""
        at = self._schedule.visit_at(self._collector.state.visits_done)
        left_s = (at - self._clocks.now()).total_seconds()
        if left_s > _STAYS_OPEN_S:
            self._close()
        if self._look is None:
            self._clocks.sleep(
                min(max(left_s, 0.01), _LONGEST_NAP_S)
            )  # naps, for the clock may be set meanwhile
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
        """Do something with the camera; a few failures are told and lived with."""
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
        look = self._opened()
        outcome = collector.visit(
            number, look, lambda _glimpse: self._clocks.now(), distances_s[number // 2 % len(distances_s)]
        )
        if outcome == "ended":
            raise self._ended()
        self._failures = 0
        if outcome == "kept":
            self._say(f"pair {collector.writer.count} of {collector.settings.wanted} kept")
        else:
            collector.note()

    def _opened(self) -> Look:
        """The camera with a fresh frame; opened and settled if need be."""
        if self._look is None:
            self._camera = self._source.open()
            look = Look(self._camera, longest_s=2 * max(self._collector.settings.distances_s))
            if not look.advance_to(SETTLE_S):
                raise self._ended()
            look.forget()
            self._look = look
        self._read_on()
        return self._look

    def _read_on(self) -> None:
        assert self._look is not None
        if not self._look.advance():
            raise self._ended()

    def _ended(self) -> CameraFault:
        return CameraFault(f"{self._source.name}: gave no more frames", remedy="see to the camera")

    def _close(self) -> None:
        if self._camera is not None:
            with suppress(CameraFault):  # it is given up anyway
                self._camera.close()
        self._camera = self._look = None
