"""Latch of an alarm: two states with hysteresis and a dwell time for either change."""

from __future__ import annotations

from typing import Literal

Verdict = Literal["bad", "between", "good"]
"""Judgement of one reading: at or beyond the threshold, inside the hysteresis band, or back to normal."""
Edge = Literal["raised", "cleared"]


class Latch:
    """Turns a stream of verdicts into edges, ``raised`` and ``cleared`` strictly in turn.

    A change of state needs verdicts for it without interruption for the dwell time. A verdict inside the band,
    or the opposite one, interrupts; so do a silence of more than ``longest_gap_s`` and time that runs
    backwards, as nothing is known of the time between. An interruption never changes the state.

    Times are seconds on any clock that is the same for all calls.
    """

    def __init__(
        self, *, raise_after_s: float, clear_after_s: float, longest_gap_s: float, raised: bool = False
    ) -> None:
        self._raise_after_s = raise_after_s
        self._clear_after_s = clear_after_s
        self._longest_gap_s = longest_gap_s
        self._since_s: float | None = None
        self._latest_s: float | None = None
        self.raised = raised
        """True while the alarm is on."""
        self.began_s: float | None = None
        """Time of the first of the verdicts that led to the latest edge; None before the first edge."""

    @property
    def pending_since_s(self) -> float | None:
        """Time since which verdicts have been for the other state; None if the latest was not."""
        return self._since_s

    def update(self, time_s: float, verdict: Verdict) -> Edge | None:
        """Take the verdict at a time and return the edge that it completes, if any."""
        if self._latest_s is not None and not 0 <= time_s - self._latest_s <= self._longest_gap_s:
            self._since_s = None
        self._latest_s = time_s
        if verdict != ("good" if self.raised else "bad"):
            self._since_s = None
            return None
        if self._since_s is None:
            self._since_s = time_s
        if time_s - self._since_s < (self._clear_after_s if self.raised else self._raise_after_s):
            return None
        self.raised, self.began_s, self._since_s = not self.raised, self._since_s, None
        return "raised" if self.raised else "cleared"
