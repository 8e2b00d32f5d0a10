"""Alarms on displacement, on natural frequencies and on lost signals: what they are told and what they tell.

Silence, dwell and learning are judged on a steady clock that nobody sets; what is told carries Unix time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.baseline import Baseline
from tremorscope.runtime.vibration.monitoring.latch import Edge

Quantity = Literal["peak", "rms", "frequency", "signal"]
Phase = Literal["learning", "normal", "pending", "raised", "clearing"]


@dataclass(frozen=True)
class AlarmRule:
    """When an alarm is raised and when it is cleared."""

    name: str
    """Unique; alarms are acknowledged and stored by it."""
    source: str
    """The region or mode whose readings it watches."""
    quantity: Quantity
    """peak or rms displacement; frequency: shift against the baseline; signal: silence of the source."""
    threshold: float
    """Raised from here on: px or mm as ``unit`` says, per cent of the baseline, or seconds of silence."""
    clear_at: float
    """Cleared at or below it, in the unit of the threshold; in between nothing changes."""
    unit: str = "px"
    """Unit of a displacement."""
    dwell_s: float = 5.0
    """How long the threshold must be passed without interruption before the alarm is raised."""
    clear_dwell_s: float = 30.0
    """How long readings must be back to normal without interruption before it is cleared."""
    longest_gap_s: float = 10.0
    """Silence after which a dwell starts anew, and the most that it counts for in learning."""
    learning_s: float = 3600.0
    """How long a frequency's baseline is learned, of time with readings."""

    def check(self) -> None:
        """Check that the rule can be followed.

        Raises:
            OptionFault: a number that cannot be.
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
                f"alarm {self.name}: a time of {min(times):g} s cannot be", remedy="give times of 0 s or more"
            )

    @property
    def threshold_unit(self) -> str:
        """Unit of the threshold."""
        return {"frequency": "%", "signal": "s"}.get(self.quantity, self.unit)


@dataclass(frozen=True)
class Reading:
    """One reading of one quantity of one source."""

    source: str
    quantity: Literal["peak", "rms", "frequency"]
    time_s: float
    """Unix time, for people."""
    value: float | None
    """px, mm or Hz; None or NaN where nothing could be measured."""
    deviation: float = 0.0
    """Standard deviation of the value, in its unit, where it is known."""
    unit: str | None = None
    """Of a displacement: rules in another unit do not take it; None is the unit that every rule has."""
    steady_s: float | None = None
    """When, on the steady clock, by which all is judged; None where ``time_s`` is such a clock."""

    @property
    def judged_s(self) -> float:
        """When, on the steady clock."""
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
    """When the readings that led to it began; the dwell lies between the two."""
    value: float
    """The reading that completed it, in ``unit``."""
    threshold: float
    unit: str

    def __str__(self) -> str:
        return (
            f"alarm {self.name} {self.edge}: {self.quantity} of {self.source} "
            f"{self.value:.4g} {self.unit}, threshold {self.threshold:.4g} {self.unit}"
        )


@dataclass(frozen=True)
class OpenAlarm:
    """A raised alarm, as it is carried over a restart or a change of the rules."""

    name: str
    raised_s: float
    acknowledged_s: float | None = None


@dataclass(frozen=True)
class AlarmStatus:
    """How one alarm stands."""

    rule: AlarmRule
    phase: Phase
    value: float | None
    """Latest reading in the unit of the threshold; None before the first."""
    raised_s: float | None
    """When it was raised last, though it may be cleared by now; None if never."""
    acknowledged_s: float | None
    """When that was acknowledged; None if it was not."""
    baseline: Baseline | None
    """What a frequency is compared with."""

    @property
    def needs_attention(self) -> bool:
        """True while it is raised, and until it is acknowledged."""
        return self.raised_s is not None and (
            self.phase in ("raised", "clearing") or self.acknowledged_s is None
        )
