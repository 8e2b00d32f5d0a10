"""Rules, readings, edges and status of alarms on displacement, natural frequencies and lost signals; and their
latch: two states with hysteresis and a dwell time for either change.

Silence, dwell and learning run on the steady (monotonic) clock; edges and status carry Unix time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.levels import Baseline
from tremorscope.runtime.vibration.monitoring.limits import Criterion

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


Quantity = Literal["peak", "rms", "frequency", "signal", "displacement", "velocity", "acceleration"]
Phase = Literal["learning", "normal", "pending", "raised", "clearing"]


@dataclass(frozen=True)
class AlarmRule:
    """Thresholds, hysteresis and dwell times of one alarm."""

    name: str
    """Unique; alarms are acknowledged and stored by it."""
    source: str
    """The region or mode whose readings it watches."""
    quantity: Quantity
    """peak or rms displacement; frequency: shift against the baseline; signal: silence of the source; displacement,
    velocity, acceleration: that of ``criterion``."""
    threshold: float
    """Raised from here on: px or mm as ``unit`` says, per cent of the baseline, or seconds of silence."""
    clear_at: float
    """Cleared at or below it, in the unit of the threshold; in between nothing changes."""
    unit: str = "px"
    """Unit of a displacement."""
    dwell_s: float = 5.0
    """Time for which readings must reach the threshold without interruption before the alarm is raised."""
    clear_dwell_s: float = 30.0
    """Time for which readings must be back to normal without interruption before it is cleared."""
    longest_gap_s: float = 10.0
    """Silence after which a dwell starts anew, and the most that one silence counts for in learning."""
    learning_s: float = 3600.0
    """Time with readings over which a frequency's baseline is learned."""
    criterion: Criterion | None = None
    """Limit over frequency whose readings are judged; None for the quantities that have none."""

    def check(self) -> None:
        """Check that every number of the rule is in its range.

        Raises:
            OptionFault: a number is not finite or out of range.
        """
        times = (self.dwell_s, self.clear_dwell_s, self.longest_gap_s, self.learning_s)
        if not 0 < self.threshold < math.inf:
            raise OptionFault(
                f"alarm {self.name}: a threshold of {self.threshold:g} cannot be reached or is always passed",
                remedy="give a number above 0",
            )
        if not 0 <= self.clear_at <= self.threshold:
            raise OptionFault(
                f"alarm {self.name}: it would clear at {self.clear_at:g} and be raised at {self.threshold:g}",
                remedy="let it clear at or below the threshold, e.g. at 0.8 of it",
            )
        if not all(0 <= time_s < math.inf for time_s in times):
            raise OptionFault(
                f"alarm {self.name}: a time of {min(times):g} s is not a finite number of 0 or more",
                remedy="give times of 0 s or more",
            )

    @property
    def threshold_unit(self) -> str:
        """Unit of the threshold."""
        return {"frequency": "%", "signal": "s"}.get(self.quantity, self.unit)

    def edge(self, edge: Edge, time_s: float, since_s: float, value: float) -> AlarmEdge:
        """An edge of this alarm; see `AlarmEdge` for the times and the value."""
        return AlarmEdge(
            self.name,
            self.source,
            self.quantity,
            edge,
            time_s,
            since_s,
            value,
            self.threshold,
            self.threshold_unit,
        )


@dataclass(frozen=True)
class AlarmReading:
    """One reading of one quantity of one source."""

    source: str
    quantity: Literal["peak", "rms", "frequency", "displacement", "velocity", "acceleration"]
    time_s: float
    """Unix time, which edges and status report."""
    value: float | None
    """px, mm or Hz; None or NaN where nothing could be measured."""
    deviation: float = 0.0
    """Standard deviation of the value, in its unit, where it is known."""
    unit: str | None = None
    """px or mm of a displacement: rules in another unit ignore the reading; None fits every rule."""
    steady_s: float | None = None
    """Time on the steady clock, which all judgement uses; None where ``time_s`` is such a clock."""
    criterion: Criterion | None = None
    """Limit that the value was weighted by: only the rules of this one take the reading."""
    detail: str = ""
    """The measured quantity beside its limit, or the reason why there is no value, for a person."""

    @property
    def judged_s(self) -> float:
        """Time on the steady clock."""
        return self.time_s if self.steady_s is None else self.steady_s


@dataclass(frozen=True)
class AlarmEdge:
    """An alarm was raised or cleared."""

    name: str
    source: str
    quantity: Quantity
    edge: Edge
    time_s: float
    since_s: float
    """Start of the uninterrupted readings that led to it; the dwell lies between the two."""
    value: float
    """The reading that completed it, in ``unit``."""
    threshold: float
    unit: str
    detail: str = ""
    """Quantity, frequency, limit, margin and clause of an alarm on a limit; the reading with its uncertainty where the
    scale has one; empty for others."""

    def __str__(self) -> str:
        said = f"{self.value:.4g} {self.unit}, threshold {self.threshold:.4g} {self.unit}"
        if self.detail and self.quantity in ("peak", "rms"):
            said = f"{self.detail}, threshold {self.threshold:.4g} {self.unit}"
            return f"alarm {self.name} {self.edge}: {self.source}: {said}"
        if self.detail:
            return f"alarm {self.name} {self.edge}: {self.source}: {self.detail}"
        return f"alarm {self.name} {self.edge}: {self.quantity} of {self.source} {said}"


@dataclass(frozen=True)
class OpenAlarm:
    """A raised alarm, as it is carried over a restart or a change of the rules."""

    name: str
    raised_s: float
    acknowledged_s: float | None = None


@dataclass(frozen=True)
class AlarmStatus:
    """Status of one alarm: phase, latest reading, raise and acknowledgement."""

    rule: AlarmRule
    phase: Phase
    value: float | None
    """Latest reading in the unit of the threshold; None before the first."""
    raised_s: float | None
    """Time of the latest raise, though it may be cleared by now; None if never."""
    acknowledged_s: float | None
    """Time at which that raise was acknowledged; None if it was not."""
    baseline: Baseline | None
    """Reference of a frequency alarm; None while it is learned, and for other quantities."""
    detail: str = ""
    """Latest reading beside its limit, with margin and clause, or the reason why it cannot be judged."""
    judged: bool = True
    """False where the latest reading of a limit could not be judged."""

    @property
    def needs_attention(self) -> bool:
        """True while it is raised, and until it is acknowledged."""
        return self.raised_s is not None and (
            self.phase in ("raised", "clearing") or self.acknowledged_s is None
        )
