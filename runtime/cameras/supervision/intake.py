"""The account of a camera's frames: each is placed in time, judged, handed on or counted as lost."""

from __future__ import annotations

import math
from typing import Literal

from tremorscope.runtime.cameras.supervision.faults import FaultLog, Strikes
from tremorscope.runtime.cameras.supervision.settings import Drops, SupervisorSettings
from tremorscope.runtime.cameras.supervision.timeline import Continuity
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.latest import Mailbox
from tremorscope.runtime.frames.ring import Lease, LeasingRing

_LATE_PERIODS = 1.5
"""A frame is fetched late where it is so much older than the youngest were: exposure and jitter explain less."""


class Punctuality:
    """Tells frames that the camera or its link has lost from those that this device fetched too late.

    A source that nobody empties fills its buffers and then loses frames: those that lie in them are old when they are
    fetched at last. That needs the time of capture on the host's clock; without it nothing is said.
    """

    def __init__(self) -> None:
        self._least_s = math.inf
        self._age_s = 0.0

    def was_late(self, info: FrameInfo, now_s: float, period_s: float) -> bool:
        """Take a frame that has arrived; returns whether it, or the one before, was fetched too late."""
        if info.captured_s is None:
            return False
        before_s, self._age_s = self._age_s, now_s - info.captured_s
        self._least_s = min(self._least_s, self._age_s)
        return max(before_s, self._age_s) - self._least_s > _LATE_PERIODS * period_s


class Intake:
    """Places, judges and counts frames. Whoever uses it from several threads locks it."""

    def __init__(self, ring: LeasingRing, settings: SupervisorSettings, log: FaultLog) -> None:
        self._log = log
        self._continuity = Continuity(jump_s=settings.jump_s)
        self._strikes = Strikes(most=settings.most_strikes, clear_after_frames=settings.clear_after_frames)
        self.mailbox = Mailbox(ring, most_waiting=settings.most_waiting)
        self.given_up = 0
        """Frames that came from a thread which had been abandoned, or while closing."""
        self._punctuality = Punctuality()
        self._source = self._corrupt = self._unfetched = 0

    @property
    def segments(self) -> int:
        """How often time or picture began anew; 0 before the first frame."""
        return self._continuity.segment + 1

    @property
    def drops(self) -> Drops:
        """Frames that nobody got."""
        box = self.mailbox
        return Drops(self._source, box.late, box.no_slot, self._corrupt, self.given_up, self._unfetched)

    def reopen(self, nominal_rate_hz: float) -> None:
        """Expect a new segment, of a source that states this rate."""
        self._continuity.reopen(nominal_rate_hz)
        self._punctuality = Punctuality()
        self._strikes.reset()

    def count_bad(self, info: FrameInfo | None, sequence: int | None, now_s: float) -> None:
        """Count a frame that cannot be used, as far as it is known."""
        if info is not None and math.isfinite(info.timestamp_s):
            self._source += self._continuity.place(info, now_s).dropped
        elif sequence is not None and (dropped := self._continuity.skip(sequence)) is not None:
            self._source += dropped
        else:
            return  # it counts as dropped when the next one comes
        self._corrupt += 1

    def strike(self, kind: Literal["corrupt", "time"], what: str, now_s: float) -> bool:
        """Note a bad frame; returns True where it is one too many."""
        self._log.seen(kind, now_s, what)
        return self._strikes.bad()

    def take_over(self, lease: Lease, info: FrameInfo, now_s: float) -> Lease | None:
        """Hand a whole frame on; returns the slot for the next, or None where time has jumped once too often.

        Raises:
            LeaseError: the consumer never released a frame; ``lease`` remains the caller's.
        """
        placed = self._continuity.place(info, now_s)
        if self._punctuality.was_late(info, now_s, self._continuity.period_s):
            self._unfetched += placed.dropped
        else:
            self._source += placed.dropped
        if placed.trouble:
            if self.strike("time", placed.trouble, now_s):
                self._corrupt += 1
                return None
        elif self._strikes.good():
            self._log.passed("corrupt", now_s)
            self._log.passed("time", now_s)
        for kind in ("missing", "lost", "refused", "frozen", "resized"):
            self._log.passed(kind, now_s)
        return self.mailbox.put(lease, placed.info)
