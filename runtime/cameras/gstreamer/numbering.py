"""The number of each frame as it comes: the source's own, or counted here with the gaps that its times show."""

from __future__ import annotations

import math
from collections import deque
from statistics import median

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
