"""What happens to a simulated box in the field, from a seed; and the truth about its alarms, found independently."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import Literal

from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule

Kind = Literal["full", "away", "reader", "damage", "broker", "unconfirmed", "camera", "clock"]
DISK: tuple[Kind, ...] = ("full", "away", "reader", "damage")
DAY_S, HOUR_S = 86_400.0, 3600.0
_A_MONTH: dict[Kind, int] = {
    "full": 5, "away": 5, "reader": 4, "damage": 4, "broker": 25, "unconfirmed": 6, "camera": 30, "clock": 16,
}  # fmt: skip
_LONGEST_S: dict[Kind, float] = {
    "full": 5 * HOUR_S, "away": 5 * HOUR_S, "reader": 20 * HOUR_S, "damage": 0.0, "broker": 9 * HOUR_S,
    "unconfirmed": 2 * HOUR_S, "camera": 3 * HOUR_S, "clock": 5 * HOUR_S,
}  # fmt: skip


@dataclass(frozen=True)
class Outage:
    """Something that is broken for a while."""

    kind: Kind
    begin_s: float
    end_s: float
    clock_error_s: float = 0.0


@dataclass(frozen=True)
class Gust:
    """A time for which a region moves more."""

    begin_s: float
    end_s: float
    rms_px: float


@dataclass
class Weather:
    """Everything that will happen within some days; times in s from the begin."""

    days: float
    outages: list[Outage]
    kills_s: list[float]
    gusts: list[list[Gust]]
    """By region."""
    softer: list[list[tuple[float, float]]]
    """By mode: times for which its frequency is lower."""

    @classmethod
    def draw(
        cls, seed: int, days: float, regions: int, modes: int, step_s: float, steady_s: float
    ) -> Weather:
        """Draw a month's weather, or its share of some days.

        Args:
            steady_s: time from the begin before which no frequency changes, as baselines are being learned.
        """
        random, span_s, share = Random(seed), days * DAY_S, days / 30
        outages: list[Outage] = []
        for kind, a_month in _A_MONTH.items():
            for _ in range(max(1, round(a_month * share))):
                outages.append(_place(random, kind, span_s, step_s, outages))
        kills = sorted(random.uniform(HOUR_S, span_s - HOUR_S) for _ in range(max(5, round(50 * share))))
        gusts = [_gusts(random, span_s, step_s, max(2, round(25 * share))) for _ in range(regions)]
        softer = []
        for _ in range(modes):
            begin_s = random.uniform(steady_s, span_s)
            softer.append([(begin_s, begin_s + random.uniform(1.5, 9) * HOUR_S)])
        return cls(days, sorted(outages, key=lambda each: each.begin_s), kills, gusts, softer)

    def lasting(self, at_s: float) -> dict[Kind, Outage]:
        """What is broken at a time."""
        return {each.kind: each for each in self.outages if each.begin_s <= at_s < each.end_s}


def _place(random: Random, kind: Kind, span_s: float, step_s: float, before: list[Outage]) -> Outage:
    """An outage that touches no other of the same thing: one disk fails in one way at a time."""
    same = (
        DISK if kind in DISK else ("broker", "unconfirmed") if kind in ("broker", "unconfirmed") else (kind,)
    )
    for _ in range(1000):
        begin_s = random.uniform(0.02, 0.93) * span_s
        least_s = max(3 * step_s, 300.0)
        lasts_s = least_s + random.random() ** 2 * (min(_LONGEST_S[kind], span_s / 8) or step_s)
        clear_of = all(
            begin_s > each.end_s + HOUR_S or begin_s + lasts_s + HOUR_S < each.begin_s
            for each in before
            if each.kind in same
        )
        if clear_of:
            break
    errors = (-2.0, 2.0, 3600.0, -3600.0, DAY_S, -DAY_S, -1.7e9)
    return Outage(kind, begin_s, begin_s + lasts_s, random.choice(errors) if kind == "clock" else 0.0)


def _gusts(random: Random, span_s: float, step_s: float, count: int) -> list[Gust]:
    found = []
    for _ in range(count):
        begin_s, steps = random.uniform(0, span_s), random.choice((1, 2, 4, 10, 30, 120))
        found.append(
            Gust(begin_s, begin_s + steps * step_s, math.exp(random.uniform(math.log(0.05), math.log(1.6))))
        )
    return found


@dataclass
class TrueAlarm:
    """One alarm as it should be, judged on true time alone: no clock of the device is asked."""

    rule: AlarmRule
    is_raised: bool = False
    since_s: float | None = None
    heard_s: float | None = None
    edges: list[tuple[float, str]] = field(default_factory=list)

    def start(self, is_raised: bool) -> None:
        """A process begins: what it was waiting for is forgotten, what was raised is not."""
        self.is_raised, self.since_s, self.heard_s = is_raised, None, None

    def read(self, now_s: float, value: float) -> str | None:
        """A reading of displacement, or of the shift of a frequency in per cent."""
        if self.heard_s is not None and now_s - self.heard_s > self.rule.longest_gap_s:
            self.since_s = None
        self.heard_s = now_s
        other = value <= self.rule.clear_at if self.is_raised else value >= self.rule.threshold
        return self._turn(now_s, other)

    def hear(self, now_s: float) -> str | None:
        """A reading of a source whose silence is watched."""
        self.heard_s = now_s
        return self._turn(now_s, True) if self.is_raised else None

    def listen(self, now_s: float) -> str | None:
        """Time passes for a source whose silence is watched."""
        if self.heard_s is None:
            self.heard_s = now_s
        if now_s - self.heard_s < self.rule.threshold:
            return None
        if self.is_raised:
            self.since_s = None
            return None
        return self._turn(now_s, True)

    def _turn(self, now_s: float, other: bool) -> str | None:
        if not other:
            self.since_s = None
            return None
        self.since_s = now_s if self.since_s is None else self.since_s
        needed_s = self.rule.clear_dwell_s if self.is_raised else self.rule.dwell_s
        if now_s - self.since_s < needed_s:
            return None
        self.is_raised, self.since_s = not self.is_raised, None
        return "raised" if self.is_raised else "cleared"
