"""Follows all alarm rules at once: readings and the time go in, edges come out.

Pure: no clock, no disk, no thread. Readings carry their times; what is done with the edges is the caller's
business.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from runtime.errors import OptionFault
from runtime.vibration.alarms import AlarmEdge, AlarmRule, AlarmStatus, OpenAlarm, Phase, Reading
from runtime.vibration.baseline import Baseline, BaselineLearner
from runtime.vibration.latch import Latch, Verdict


class _FrequencyShift:
    def __init__(self, rule: AlarmRule, baseline: Baseline | None) -> None:
        self._threshold_percent = rule.threshold
        self._learner = BaselineLearner(rule.learning_s)
        self.baseline = baseline

    def percent(self, reading: Reading) -> float | None:
        hz = reading.value
        if hz is None or hz <= 0:
            return None
        if self.baseline is None:
            self.baseline = self._learner.add(reading.time_s, hz)
            return None
        # A frequency that is not known better than the threshold can neither raise nor clear.
        if not 100 * reading.deviation / self.baseline.value < self._threshold_percent:
            return None
        return 100 * abs(hz / self.baseline.value - 1)


class _Monitor:
    """Follows one rule."""

    def __init__(self, rule: AlarmRule, opened: OpenAlarm | None, baseline: Baseline | None) -> None:
        rule.check()
        self.rule = rule
        self.shift = _FrequencyShift(rule, baseline) if rule.quantity == "frequency" else None
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

    @property
    def opened(self) -> OpenAlarm | None:
        if not self._latch.raised or self._raised_s is None:
            return None
        return OpenAlarm(self.rule.name, self._raised_s, self.acknowledged_s)

    def read(self, reading: Reading) -> AlarmEdge | None:
        known = reading.value is not None and math.isfinite(reading.value) and math.isfinite(reading.time_s)
        if reading.source != self.rule.source or not known:
            return None
        if self.rule.quantity == "signal":
            return self._hear(reading.time_s)
        if reading.quantity != self.rule.quantity or reading.unit not in (None, self.rule.unit):
            return None
        value = reading.value if self.shift is None else self.shift.percent(reading)
        if value is None:
            return None
        verdict: Verdict = "bad" if value >= self.rule.threshold else "between"
        if verdict == "between" and value <= self.rule.clear_at:
            verdict = "good"
        return self._follow(reading.time_s, value, verdict)

    def advance(self, now_s: float) -> AlarmEdge | None:
        if self.rule.quantity != "signal" or not math.isfinite(now_s):
            return None
        if self._heard_s is None:
            self._heard_s = now_s  # silence counts from the start of the watch
        self._now_s = max(self._now_s, now_s)
        silence_s = self._now_s - self._heard_s
        return self._follow(self._now_s, silence_s, "bad") if silence_s >= self.rule.threshold else None

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

    def _hear(self, time_s: float) -> AlarmEdge | None:
        stepped_back = self._now_s - time_s > self.rule.threshold
        if stepped_back and self._heard_s is not None and time_s < self._heard_s:
            self._now_s = self._heard_s = time_s  # the clock was set back: silence is counted from here
        silence_before_s = 0.0 if self._heard_s is None else time_s - self._heard_s
        self._heard_s = time_s if self._heard_s is None else max(self._heard_s, time_s)
        self._now_s = max(self._now_s, time_s)
        if silence_before_s >= self.rule.threshold and not self._latch.raised:
            # Heard again, but only after a silence that nobody had asked about meanwhile.
            return self._follow(self._now_s, silence_before_s, "bad")
        return self._follow(self._now_s, max(silence_before_s, 0.0), "good")

    def _follow(self, time_s: float, value: float, verdict: Verdict) -> AlarmEdge | None:
        self._value = value
        edge = self._latch.update(time_s, verdict)
        if edge is None:
            return None
        if edge == "raised":
            self._raised_s, self.acknowledged_s = time_s, None
        since_s = time_s if self._latch.began_s is None else self._latch.began_s
        rule = self.rule
        return AlarmEdge(
            rule.name, rule.source, rule.quantity, edge, time_s, since_s, value, rule.threshold,
            rule.threshold_unit,
        )  # fmt: skip


class AlarmBoard:
    """Follows all rules at once; memory and work a reading are constant.

    Args:
        rules: what to watch for.
        opened: alarms that were raised before a restart; they stay raised until readings clear them. Those
        without a rule are left out: whoever changed the rules clears them.
        baselines: learned earlier, by the rule's name; the others are learned now.

    Raises:
        OptionFault: a rule cannot be followed, or two have the same name.
    """

    def __init__(
        self,
        rules: Iterable[AlarmRule],
        *,
        opened: Iterable[OpenAlarm] = (),
        baselines: Mapping[str, Baseline] | None = None,
    ) -> None:
        before = {alarm.name: alarm for alarm in opened}
        self._monitors: dict[str, _Monitor] = {}
        for rule in rules:
            if rule.name in self._monitors:
                raise OptionFault(f"two alarms are named {rule.name}", remedy="give each a name of its own")
            self._monitors[rule.name] = _Monitor(
                rule, before.get(rule.name), (baselines or {}).get(rule.name)
            )

    def read(self, reading: Reading) -> list[AlarmEdge]:
        """Take a reading and return the edges that it completes; one that is None or NaN completes none."""
        edges = [monitor.read(reading) for monitor in self._monitors.values()]
        return [edge for edge in edges if edge is not None]

    def advance(self, now_s: float) -> list[AlarmEdge]:
        """Tell the time, at least once a second, so that a lost signal is noticed without any reading."""
        edges = [monitor.advance(now_s) for monitor in self._monitors.values()]
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
