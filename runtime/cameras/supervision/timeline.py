"""Numbers and times of frames: the source's own number or one counted here, and a continuous time axis and frame
count over all openings of a camera, jumps of its clock and its counter.
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median
from typing import NamedTuple

from tremorscope.runtime.frames.frame import FrameInfo

_PERIOD_WEIGHT = 1 / 32


class PlacedFrame(NamedTuple):
    """A frame's place on the continuous axis."""

    info: FrameInfo
    dropped: int
    """Frames that are missing between the one before and this, by the source's numbers."""
    trouble: str
    """Description of a break from the frame before; empty where there is none."""


class FrameTimeline:
    """Places frames so that their times rise strictly and their numbers follow each other.

    Within a segment, times are the sensor's own plus a constant. Where the sensor's time goes back or leaps by
    more than ``jump_s``, and after a reopening whose clock began anew, a new segment begins: the gap is then as
    long as the host's clock says, and at least one period. Where the source itself begins a new segment, so does
    this, and time goes on.

    A step dt of the sensor's time, ``gap`` numbers further, follows if dt > 0 and dt is at most ``jump_s`` longer
    than ``gap`` periods, or is within ``jump_s`` of the time that passed on the host's clock, as it is after a
    pause of a source that does not number what it loses. Numbers follow if they rise, and not by more than
    the longer of both times has room for.
    """

    def __init__(self, *, jump_s: float) -> None:
        self._jump_s = jump_s
        self._source: FrameInfo | None = None
        self._placed = FrameInfo(-1, 0.0, -1)
        self._arrived_s = 0.0
        self._offset_s = 0.0
        self._period_s = 0.0
        self._reopened = False
        self._skipped = 0

    @property
    def segment(self) -> int:
        """Number of the present segment; -1 before the first frame."""
        return self._placed.segment

    @property
    def period_s(self) -> float:
        """Present time from one frame to the next; 0 before the first opening."""
        return self._period_s

    def reopen(self, nominal_rate_hz: float) -> None:
        """Expect a new segment, of a source that states this rate."""
        self._period_s = 1 / nominal_rate_hz
        self._reopened = True

    def place(self, info: FrameInfo, now_s: float) -> PlacedFrame:
        """Place the next frame of the source, which arrived at ``now_s`` on the host's clock; times are finite."""
        before = self._source
        if before is None:
            return self._place(info, now_s, info.timestamp_s, gap=1, trouble="", breaks=True)
        if self._reopened:
            follows = self._time_follows(info, before, 0, now_s)
            time_s = info.timestamp_s + self._offset_s if follows else self._by_host(now_s, 1)
            return self._place(info, now_s, time_s, gap=1, trouble="", breaks=True)
        gap, step_s = info.sequence - before.sequence, info.timestamp_s - before.timestamp_s
        periods = gap + self._skipped
        room_s = max(step_s, now_s - self._arrived_s) + self._jump_s
        trouble = ""
        if gap < 1 or gap * self._period_s > room_s + self._period_s:
            trouble = f"the frame after number {before.sequence} has number {info.sequence}"
            gap = periods = 1
        time_s = info.timestamp_s + self._offset_s
        if not self._time_follows(info, before, periods, now_s):
            trouble = f"time leapt by {step_s:.6g} s, from {before.timestamp_s:.6f} s"
            time_s = self._by_host(now_s, periods)
        elif not trouble:
            self._learn_period(step_s / periods)
        breaks = bool(trouble) or info.segment != before.segment
        return self._place(info, now_s, time_s, gap=gap, trouble=trouble, breaks=breaks)

    def skip(self, sequence: int) -> int | None:
        """Count a frame of which only the number is known; returns how many were dropped before it.

        None where the number leaps implausibly far: if it is right, the gap before the next whole frame shows it.
        """
        before = self._source
        if before is None or self._reopened or sequence <= before.sequence:
            return 0
        gap = sequence - before.sequence
        if gap * self._period_s > self._jump_s + self._period_s:
            return None
        # The time stays that of the last whole frame, with which the next is compared.
        self._skipped += gap
        self._source = FrameInfo(sequence, before.timestamp_s, before.segment)
        self._placed = FrameInfo(self._placed.sequence + gap, self._placed.timestamp_s, self._placed.segment)
        return gap - 1

    def _time_follows(self, info: FrameInfo, before: FrameInfo, periods: int, now_s: float) -> bool:
        # The sum decides: a step may be lost in the rounding of large times.
        rises = info.timestamp_s + self._offset_s > self._placed.timestamp_s
        step_s = info.timestamp_s - before.timestamp_s
        counted = periods > 0 and step_s <= periods * self._period_s + self._jump_s
        lasted = abs(step_s - (now_s - self._arrived_s)) <= self._jump_s
        return rises and step_s > 0 and (counted or lasted)

    def _by_host(self, now_s: float, periods: int) -> float:
        last_s = self._placed.timestamp_s
        later_s = last_s + max(now_s - self._arrived_s, periods * self._period_s)
        return max(later_s, math.nextafter(last_s, math.inf))

    def _learn_period(self, step_s: float) -> None:
        bounded_s = min(max(step_s, 0.5 * self._period_s), 2 * self._period_s)
        self._period_s += _PERIOD_WEIGHT * (bounded_s - self._period_s)

    def _place(
        self, info: FrameInfo, now_s: float, time_s: float, *, gap: int, trouble: str, breaks: bool
    ) -> PlacedFrame:
        if breaks:  # only then, so that rounding does not add up
            self._offset_s = time_s - info.timestamp_s
        self._source, self._arrived_s = info, now_s
        self._reopened, self._skipped = False, 0
        number, segment = self._placed.sequence + gap, self._placed.segment + breaks
        self._placed = FrameInfo(number, time_s, segment, captured_s=info.captured_s, arrived_s=now_s)
        return PlacedFrame(self._placed, gap - 1, trouble)


_STEPS = 9
_LEAST_GAP = 1.5
_MOST_GAP = 1000


class FrameNumbers:
    """Numbers the frames of one opening.

    Where the source does not number its frames, they are counted on arrival, and one that was lost on the way, as a
    network camera's may be, is seen by the time that it leaves out: a step of about n intervals counts as n frames.
    The interval is the median of the latest nine steps, so that a camera which changes its rate is followed.
    """

    def __init__(self, *, numbered: bool) -> None:
        self._numbered = numbered
        self._last = -1
        self._last_s = math.nan
        self._steps_s: deque[float] = deque(maxlen=_STEPS)

    def next(self, own: int | None, time_s: float) -> int:
        """The number of the frame that came now.

        Args:
            own: its number as the source counts, if it does.
            time_s: its capture time in seconds; NaN where it has none.
        """
        if own is not None and own == self._last:
            self._numbered = False  # a driver that gives every frame the same number
        self._last = own if self._numbered and own is not None else self._last + 1 + self._missing(time_s)
        self._last_s = time_s
        return self._last

    def _missing(self, time_s: float) -> int:
        """Number of frames missing before this one, as far as time tells."""
        step_s = time_s - self._last_s
        if not step_s > 0:  # NaN as well
            return 0
        usual_s = median(self._steps_s) if len(self._steps_s) == _STEPS else math.inf
        self._steps_s.append(step_s)
        gap = step_s / usual_s
        return round(gap) - 1 if _LEAST_GAP < gap < _MOST_GAP else 0
