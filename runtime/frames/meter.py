"""Meter of frames that pass a thread: their rate, and the time that each stage takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.rates import MeasuredRate, RateWindow
from tremorscope.runtime.frames.stage_times import StageLatencies

STAGES = ("capture", "wait", "record", "measure", "step", "output", "total")
"""Timed stages of a frame.

capture: from the sensor to the whole frame in the ring, copies included; only where the camera knows when that was.
wait: in the ring, until the thread took it.
record: keeping it for clips.
measure: measuring it.
step: the magnifier, from the frame to the finished picture; only of frames that were magnified.
output: handing the picture to the live feed.
total: all of it, from the capture, or where the camera does not know that, from the arrival in the ring.
"""
_RATE_EVERY_S = 1.0


class FrameMeter:
    """Rate and stage times of the frames of one thread; any thread may read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is that of ``FrameInfo.captured_s`` and ``arrived_s``, in seconds."""
        self._clock = clock
        self._window = RateWindow()
        self._due_s: float | None = None
        self.times = StageLatencies(STAGES)
        """Times of each stage."""
        self.rate: MeasuredRate | None = None
        """Measured from the sensor's timestamps, renewed once a second."""

    def took(self, info: FrameInfo) -> float:
        """Count a frame that the thread has just taken; returns the time."""
        now_s = self._clock()
        if info.arrived_s is not None:
            if info.captured_s is not None:
                self.times.add("capture", info.arrived_s - info.captured_s)
            self.times.add("wait", now_s - info.arrived_s)
        self._window.add(info)
        if self._due_s is None or now_s >= self._due_s:
            self._due_s = now_s + _RATE_EVERY_S
            self.rate = self.measure()
        return now_s

    def passed(self, stage: str, since_s: float) -> float:
        """Count a stage that began at ``since_s`` and ends now; returns the time."""
        now_s = self._clock()
        self.times.add(stage, now_s - since_s)
        return now_s

    def finished(self, info: FrameInfo) -> None:
        """Count a frame that is through all stages."""
        since_s = info.captured_s if info.captured_s is not None else info.arrived_s
        if since_s is not None:
            self.passed("total", since_s)

    def measure(self) -> MeasuredRate | None:
        """Rate and jitter of the latest frames, measured now; None of fewer than eight."""
        return self._window.measure()
