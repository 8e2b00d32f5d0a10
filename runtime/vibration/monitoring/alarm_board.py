"""State machine of all alarm rules: readings and the time go in, edges come out.

Pure: no clock, no disk, no thread. Readings carry their times; the caller stores, publishes or acts on the edges.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.alarms import (
    AlarmEdge,
    AlarmReading,
    AlarmRule,
    AlarmStatus,
    Latch,
    OpenAlarm,
    Phase,
    Verdict,
)
from tremorscope.runtime.vibration.monitoring.levels import Baseline, BaselineLearner, Learning


class _FrequencyShift:
    def __init__(self, rule: AlarmRule, baseline: Baseline | None, learning: Learning | None) -> None:
        self._threshold_percent = rule.threshold
        self._learner = BaselineLearner(
            rule.learning_s, source=rule.source, longest_gap_s=rule.longest_gap_s, before=learning
        )
        self.baseline = baseline

    @property
    def learning(self) -> Learning | None:
        """State of the unfinished baseline; None before the first reading, and once the baseline is known."""
        return self._learner.learning if self.baseline is None and self._learner.readings else None

    def percent(self, reading: AlarmReading) -> float | None:
        """Shift from the baseline in per cent; None while learning, and where the reading is too uncertain."""
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


class _RuleMonitor:
    """State of one rule: its latch, its latest value and, for a frequency, its baseline."""

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
        self._detail, self._judged = "", True
        self._latest_reading_s: float | None = None
        self._now_s = -math.inf
        self._raised_s = opened.raised_s if opened else None
        self.acknowledged_s = opened.acknowledged_s if opened else None

    def under(self, rule: AlarmRule) -> _RuleMonitor:
        """Monitor for a changed rule of the same name: itself if nothing has changed."""
        if rule == self.rule:
            return self
        # What is compared with a baseline must be what the baseline was learned of.
        shift = self.shift if rule.source == self.rule.source else None
        return _RuleMonitor(
            rule, self.opened, shift.baseline if shift else None, shift.learning if shift else None
        )

    @property
    def opened(self) -> OpenAlarm | None:
        if not self._latch.raised or self._raised_s is None:
            return None
        return OpenAlarm(self.rule.name, self._raised_s, self.acknowledged_s)

    def read(self, reading: AlarmReading) -> AlarmEdge | None:
        known = reading.value is not None and math.isfinite(reading.value) and math.isfinite(reading.judged_s)
        if reading.criterion is not None and reading.criterion == self.rule.criterion:
            self._detail, self._judged = reading.detail, known
        if not known:
            return None
        if self.rule.quantity == "signal":
            return self._end_silence(reading.judged_s, reading.time_s)
        same = (reading.quantity, reading.criterion) == (self.rule.quantity, self.rule.criterion)
        if not same or reading.unit not in (None, self.rule.unit):
            return None
        if reading.criterion is None:
            self._detail = reading.detail
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
        if self._latest_reading_s is None:
            self._latest_reading_s = now_s  # silence counts from the start of monitoring
        self._now_s = max(self._now_s, now_s)
        silence_s = self._now_s - self._latest_reading_s
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
        return AlarmStatus(
            self.rule,
            phase,
            self._value,
            self._raised_s,
            self.acknowledged_s,
            baseline,
            self._detail,
            self._judged,
        )

    def _end_silence(self, time_s: float, unix_s: float) -> AlarmEdge | None:
        latest_s = self._latest_reading_s
        silence_before_s = 0.0 if latest_s is None else time_s - latest_s
        self._latest_reading_s = time_s if latest_s is None else max(latest_s, time_s)
        self._now_s = max(self._now_s, time_s)
        # `advance` may not have been called during the silence that this reading ends.
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
        return replace(self.rule.edge(edge, unix_s, unix_s - lasted_s, value), detail=self._detail)


class AlarmBoard:
    """Monitors of all alarm rules; memory, and work per reading, are constant.

    Args:
        rules: rules to monitor.
        opened: alarms that were raised before a restart; they stay raised until readings clear them. Those
        without a rule are left out: the caller that changed the rules clears them.
        baselines: learned earlier, by the rule's name.
        learnings: unfinished baselines of an earlier board, by the rule's name; learning resumes from them if
        the rule still has the same source.

    Raises:
        OptionFault: a rule is invalid, or two have the same name.
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
        self._use(
            _RuleMonitor(
                rule,
                before.get(rule.name),
                (baselines or {}).get(rule.name),
                (learnings or {}).get(rule.name),
            )
            for rule in rules
        )

    def follow(self, rules: Iterable[AlarmRule]) -> None:
        """Replace the rules; unchanged ones keep their whole state, running dwell times included.

        A changed rule keeps its raised alarm, and the baseline if the source is the same.

        Raises:
            OptionFault: a rule is invalid, or two have the same name; the former rules then stay in force.
        """
        before = self._monitors
        self._use(
            before[rule.name].under(rule) if rule.name in before else _RuleMonitor(rule, None, None, None)
            for rule in rules
        )

    def read(self, reading: AlarmReading) -> list[AlarmEdge]:
        """Take a reading and return the edges that it completes; one that is None or NaN completes none."""
        edges = [monitor.read(reading) for monitor in self._of_source.get(reading.source, ())]
        return [edge for edge in edges if edge is not None]

    def advance(self, now_s: float, unix_s: float | None = None) -> list[AlarmEdge]:
        """Advance the time and return the edges that silence completes; call at least once a second.

        Args:
            now_s: on the steady clock.
            unix_s: time to report in the edges; None if both clocks are one.
        """
        reported_s = now_s if unix_s is None else unix_s
        edges = [monitor.advance(now_s, reported_s) for monitor in self._monitors.values()]
        return [edge for edge in edges if edge is not None]

    def acknowledge(self, name: str, time_s: float) -> bool:
        """Acknowledge the latest raise of an alarm; False if there is none that is unacknowledged."""
        monitor = self._monitors.get(name)
        return monitor is not None and monitor.acknowledge(time_s)

    def statuses(self) -> tuple[AlarmStatus, ...]:
        """Status of every alarm, in the order of the rules."""
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
        """Unfinished baselines, by the rule's name, for a board that takes over."""
        learnings = {name: each.shift.learning for name, each in self._monitors.items() if each.shift}
        return {name: learning for name, learning in learnings.items() if learning}

    def _use(self, monitors: Iterable[_RuleMonitor]) -> None:
        self._monitors = _by_name(monitors)
        self._of_source: dict[str, list[_RuleMonitor]] = {}
        for monitor in self._monitors.values():
            self._of_source.setdefault(monitor.rule.source, []).append(monitor)


def _by_name(monitors: Iterable[_RuleMonitor]) -> dict[str, _RuleMonitor]:
    found: dict[str, _RuleMonitor] = {}
    for monitor in monitors:
        name = monitor.rule.name
        if name in found:
            raise OptionFault(f"two alarms are named {name}", remedy="give each a name of its own")
        found[name] = monitor
    return found
