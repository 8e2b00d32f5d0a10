"""Follows all alarm rules at once: readings and the time go in, edges come out.

Pure: no clock, no disk, no thread. Readings carry their times; what is done with the edges is the caller's
business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.alarms import (
    AlarmEdge,
    AlarmRule,
    AlarmStatus,
    OpenAlarm,
    Phase,
    Reading,
)
from tremorscope.runtime.vibration.monitoring.baseline import Baseline, BaselineLearner, Learning
from tremorscope.runtime.vibration.monitoring.latch import Latch, Verdict


class _FrequencyShift:
    def __init__(self, rule: AlarmRule, baseline: Baseline | None, learning: Learning | None) -> None:
        self._threshold_percent = rule.threshold
        self._learner = BaselineLearner(
            rule.learning_s, source=rule.source, longest_gap_s=rule.longest_gap_s, before=learning
        )
        self.baseline = baseline

    @property
    def learning(self) -> Learning | None:
        """How far it is; None before the first reading, and when it is done."""
        return self._learner.learning if self.baseline is None and self._learner.readings else None

    def percent(self, reading: Reading) -> float | None:
        hz = reading.value
        if hz is None or hz <= 0:
            return None
        if self.baseline is None:
            self.baseline = self._learner.add(reading.judged_s, hz, reading.time_s)
            return None
        # A frequency that is not known better than the threshold can neither raise nor clear.
        if not 100 * reading.deviation / self.baseline.value < self._threshold_percent:
            return None
        return 100 * abs(hz / self.baseline.value - 1)


class _Monitor:
    """Follows one rule."""

    def __init__(
        self, rule: AlarmRule, opened: OpenAlarm | None, baseline: Baseline | None, learning: Learning | None
    ) -> None:
        rule.check()
        self.rule = rule
        self.shift = _FrequencyShift(rule, baseline, learning) if rule.quantity == "frequency" else None
        is_signal = rule.quantity == "signal"
        self._latch = Latch(
            raise_after_s=rule.dwell_s,
            clear_after_s=rule.clear_dwell_s,
            longest_gap_s=math.inf if is_signal else rule.longest_gap_s,
            raised=opened is not None,
        )
        self._value: float | None = None
        self._heard_s: float | None = None
        self._now_s = -math.inf
        self._raised_s = opened.raised_s if opened else None
        self.acknowledged_s = opened.acknowledged_s if opened else None

    def under(self, rule: AlarmRule) -> _Monitor:
        """What follows a changed rule of the same name: itself where nothing has changed."""
        if rule == self.rule:
            return self
        # What is compared with a baseline must be what the baseline was learned of.
        shift = self.shift if rule.source == self.rule.source else None
        return _Monitor(
            rule, self.opened, shift.baseline if shift else None, shift.learning if shift else None
        )

    @property
    def opened(self) -> OpenAlarm | None:
        if not self._latch.raised or self._raised_s is None:
            return None
        return OpenAlarm(self.rule.name, self._raised_s, self.acknowledged_s)

    def read(self, reading: Reading) -> AlarmEdge | None:
        known = reading.value is not None and math.isfinite(reading.value) and math.isfinite(reading.judged_s)
        if reading.source != self.rule.source or not known:
            return None
        if self.rule.quantity == "signal":
            return self._hear(reading.judged_s, reading.time_s)
        if reading.quantity != self.rule.quantity or reading.unit not in (None, self.rule.unit):
            return None
        value = reading.value if self.shift is None else self.shift.percent(reading)
        if value is None:
            return None
        verdict: Verdict = "bad" if value >= self.rule.threshold else "between"
        if verdict == "between" and value <= self.rule.clear_at:
            verdict = "good"
        return self._follow(reading.judged_s, reading.time_s, value, verdict)

    def advance(self, now_s: float, unix_s: float) -> AlarmEdge | None:
        if self.rule.quantity != "signal" or not math.isfinite(now_s):
            return None
        if self._heard_s is None:
            self._heard_s = now_s  # silence counts from the start of the watch
        self._now_s = max(self._now_s, now_s)
        silence_s = self._now_s - self._heard_s
        if silence_s < self.rule.threshold:
            return None
        return self._follow(self._now_s, unix_s, silence_s, "bad")

    def acknowledge(self, time_s: float) -> bool:
        if self._raised_s is None or self.acknowledged_s is not None:
            return False
        self.acknowledged_s = time_s
        return True

    def status(self) -> AlarmStatus:
        if self.shift is not None and self.shift.baseline is None and not self._latch.raised:
            phase: Phase = "learning"
        elif self._latch.pending_since_s is None:
            phase = "raised" if self._latch.raised else "normal"
        else:
            phase = "clearing" if self._latch.raised else "pending"
        baseline = self.shift.baseline if self.shift else None
        return AlarmStatus(self.rule, phase, self._value, self._raised_s, self.acknowledged_s, baseline)

    def _hear(self, time_s: float, unix_s: float) -> AlarmEdge | None:
        silence_before_s = 0.0 if self._heard_s is None else time_s - self._heard_s
        self._heard_s = time_s if self._heard_s is None else max(self._heard_s, time_s)
        self._now_s = max(self._now_s, time_s)
        # Heard again, but maybe only after a silence that nobody had asked about meanwhile.
        unnoticed = silence_before_s >= self.rule.threshold and not self._latch.raised
        return self._follow(self._now_s, unix_s, max(silence_before_s, 0.0), "bad" if unnoticed else "good")

    def _follow(self, time_s: float, unix_s: float, value: float, verdict: Verdict) -> AlarmEdge | None:
        self._value = value
        edge = self._latch.update(time_s, verdict)
        if edge is None:
            return None
        if edge == "raised":
            self._raised_s, self.acknowledged_s = unix_s, None
        lasted_s = 0.0 if self._latch.began_s is None else time_s - self._latch.began_s
        rule = self.rule
        return AlarmEdge(
            rule.name, rule.source, rule.quantity, edge, unix_s, unix_s - lasted_s, value, rule.threshold,
            rule.threshold_unit,
        )  # fmt: skip


class AlarmBoard:
    """Follows all rules at once; memory and work a reading are constant.

    Args:
        rules: what to watch for.
        opened: alarms that were raised before a restart; they stay raised until readings clear them. Those
        without a rule are left out: whoever changed the rules clears them.
        baselines: learned earlier, by the rule's name; the others are learned now ...
        learnings: ... from where an earlier board was, by the rule's name, where the rule has the same source.

    Raises:
        OptionFault: a rule cannot be followed, or two have the same name.
    """

    def __init__(
        self,
        rules: Iterable[AlarmRule],
        *,
        opened: Iterable[OpenAlarm] = (),
        baselines: Mapping[str, Baseline] | None = None,
        learnings: Mapping[str, Learning] | None = None,
    ) -> None:
        before = {alarm.name: alarm for alarm in opened}
        self._monitors = _by_name(
            _Monitor(
                rule,
                before.get(rule.name),
                (baselines or {}).get(rule.name),
                (learnings or {}).get(rule.name),
            )
            for rule in rules
        )

    def follow(self, rules: Iterable[AlarmRule]) -> None:
        """Follow other rules from now on; those that are as before go on undisturbed, dwell and all.

        A changed rule keeps that it is raised, and what was learned of the same source.

        Raises:
            OptionFault: a rule cannot be followed, or two have the same name; all goes on as before.
        """
        before = self._monitors
        self._monitors = _by_name(
            before[rule.name].under(rule) if rule.name in before else _Monitor(rule, None, None, None)
            for rule in rules
        )

    def read(self, reading: Reading) -> list[AlarmEdge]:
        """Take a reading and return the edges that it completes; one that is None or NaN completes none."""
        edges = [monitor.read(reading) for monitor in self._monitors.values()]
        return [edge for edge in edges if edge is not None]

    def advance(self, now_s: float, unix_s: float | None = None) -> list[AlarmEdge]:
        """Tell the time, at least once a second, so that a lost signal is noticed without any reading.

        Args:
            now_s: on the steady clock.
            unix_s: for people; None where both clocks are one.
        """
        told_s = now_s if unix_s is None else unix_s
        edges = [monitor.advance(now_s, told_s) for monitor in self._monitors.values()]
        return [edge for edge in edges if edge is not None]

    def acknowledge(self, name: str, time_s: float) -> bool:
        """Note that somebody has seen the latest raise of an alarm; False if there is nothing to see."""
        monitor = self._monitors.get(name)
        return monitor is not None and monitor.acknowledge(time_s)

    def statuses(self) -> tuple[AlarmStatus, ...]:
        """How every alarm stands, in the order of the rules."""
        return tuple(monitor.status() for monitor in self._monitors.values())

    def opened(self) -> tuple[OpenAlarm, ...]:
        """The alarms that are raised, for a board that takes over."""
        alarms = (monitor.opened for monitor in self._monitors.values())
        return tuple(alarm for alarm in alarms if alarm is not None)

    def baselines(self) -> dict[str, Baseline]:
        """The baselines known so far, by the rule's name, for a board that takes over."""
        shifts = {name: monitor.shift for name, monitor in self._monitors.items()}
        return {name: shift.baseline for name, shift in shifts.items() if shift and shift.baseline}

    def learnings(self) -> dict[str, Learning]:
        """How far baselines are that are not known yet, by the rule's name, for a board that takes over."""
        learnings = {name: each.shift.learning for name, each in self._monitors.items() if each.shift}
        return {name: learning for name, learning in learnings.items() if learning}


def _by_name(monitors: Iterable[_Monitor]) -> dict[str, _Monitor]:
    found: dict[str, _Monitor] = {}
    for monitor in monitors:
        name = monitor.rule.name
        if name in found:
            raise OptionFault(f"two alarms are named {name}", remedy="give each a name of its own")
        found[name] = monitor
    return found
