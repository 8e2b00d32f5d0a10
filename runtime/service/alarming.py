"""Alarms of the service: readings in; edges for store, clips and messages out."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from tremorscope.runtime.service.measuring import RegionLevels
from tremorscope.runtime.store.records import Acknowledgement, LearnedBaseline, LearningBaseline, Record
from tremorscope.runtime.vibration.displacement.regions import Scale
from tremorscope.runtime.vibration.monitoring.alarm_board import AlarmBoard
from tremorscope.runtime.vibration.monitoring.alarms import (
    AlarmEdge,
    AlarmReading,
    AlarmRule,
    AlarmStatus,
    OpenAlarm,
)
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Learning
from tremorscope.runtime.vibration.monitoring.limits import Judgement
from tremorscope.runtime.vibration.settings import CAMERA, VibrationSettings

log = logging.getLogger("tremorscope.alarms")

_KEPT_EVERY_S = 300.0
"""Longest time of learning that a power cut loses."""


def alarm_rules(settings: VibrationSettings) -> tuple[AlarmRule, ...]:
    """The rules of the alarms in a configuration."""
    return tuple(each.rule(settings) for each in settings.alarms)


class AlarmService:
    """All alarms of the service; any thread may add readings, acknowledge and ask for states.

    An edge is handed over before the call that completed it returns; no receiver may wait.
    """

    def __init__(
        self,
        settings: VibrationSettings,
        *,
        on_edge: Callable[[AlarmEdge, bool], None],
        store: Callable[[Record], None],
        opened: Iterable[OpenAlarm] = (),
        baselines: Mapping[str, Baseline] | None = None,
        learnings: Mapping[str, Learning] | None = None,
        now_s: float = 0.0,
    ) -> None:
        """Begin with the alarms, baselines and learning of an earlier process.

        Args:
            settings: holds the alarms.
            on_edge: called with every edge, and True if a clip of it is wanted; must not wait.
            store: takes edges, acknowledgements, baselines and progress of learning; must not wait.
            opened: alarms that were raised when the process before ended.
            baselines: learned baselines by the alarm's name.
            learnings: baselines that were being learned, by the alarm's name.
            now_s: Unix time.

        Raises:
            OptionFault: a rule is invalid.
        """
        self._on_edge, self._store = on_edge, store
        self._lock = threading.RLock()
        self._settings, self._board = settings, AlarmBoard(())
        self.resume(opened, baselines or {}, learnings or {}, now_s)

    def resume(
        self,
        opened: Iterable[OpenAlarm],
        baselines: Mapping[str, Baseline],
        learnings: Mapping[str, Learning],
        now_s: float,
    ) -> None:
        """Take the state of an earlier process, now or once its store can be read; see ``__init__``."""
        with self._lock:
            before, present = {alarm.name: alarm for alarm in opened}, self._board
            self._board = AlarmBoard(
                alarm_rules(self._settings),
                opened=[*before.values(), *present.opened()],
                baselines={**present.baselines(), **baselines},
                learnings={**present.learnings(), **learnings},
            )
            self._note_kept()
            self._end(before.values(), {}, now_s)

    def use(self, settings: VibrationSettings, now_s: float) -> None:
        """Replace the alarms; those that stay keep their state, raised ones that are removed are cleared.

        Raises:
            OptionFault: a rule is invalid; the present alarms stay.
        """
        with self._lock:
            self.keep_learning()
            opened = self._board.opened()
            before = {rule.name: rule for rule in alarm_rules(self._settings)}
            self._board.follow(alarm_rules(settings))
            self._settings = settings
            self._note_kept()
            self._end(opened, before, now_s)

    def keep_learning(self) -> None:
        """Store the progress of learning baselines, at the end."""
        with self._lock:
            self._keep_learning(0.0)

    def store_again(self, opened: Iterable[OpenAlarm] = (), now_s: float = 0.0) -> None:
        """Store raised alarms, baselines and learning, into another store that is used from now on.

        Args:
            opened: alarms that are raised in that store, as in one that was away for a while.
            now_s: Unix time, at which those of them that are not raised any more are cleared.
        """
        with self._lock:
            raised = {alarm.name for alarm in self._board.opened()}
            rules = {rule.name: rule for rule in alarm_rules(self._settings)}
            for alarm in opened:
                if alarm.name not in raised:
                    self._store(_ended(alarm, rules.get(alarm.name), now_s))
            for status in self._board.statuses():
                if status.phase in ("raised", "clearing") and status.raised_s is not None:
                    value = status.rule.threshold if status.value is None else status.value
                    self._store(status.rule.edge("raised", status.raised_s, status.raised_s, value))
                    if status.acknowledged_s is not None:
                        self._store(Acknowledgement(status.rule.name, status.acknowledged_s, "before"))
            for name, baseline in self._board.baselines().items():
                self._store(LearnedBaseline(name, baseline))
            self._kept_s.clear()
            self._keep_learning(0.0)

    def levels(self, unix_s: float, levels: Iterable[RegionLevels], steady_s: float | None = None) -> None:
        """Take the regions' levels of a window that has ended; see `AlarmReading` for the two times."""
        for each in levels:
            found = each.levels
            for quantity, value in (("peak", found.peak), ("rms", found.rms)):
                reading = AlarmReading(each.name, quantity, unix_s, value, unit="px", steady_s=steady_s)  # type: ignore[arg-type]
                self.read(reading)
                if each.scale is not None:
                    self.read(_in_mm(reading, each.scale, value))

    def limits(
        self, unix_s: float, judged: Iterable[tuple[str, Judgement]], steady_s: float | None = None
    ) -> None:
        """Take regions' judgements by limits, of a window that has ended at that time."""
        for name, each in judged:
            criterion = each.criterion
            value = None if each.refusal else each.value
            self.read(
                AlarmReading(
                    name,
                    criterion.quantity,
                    unix_s,
                    value,
                    unit=criterion.unit,
                    steady_s=steady_s,
                    criterion=criterion,
                    detail=each.text(),
                )
            )

    def frame(self, unix_s: float, steady_s: float | None = None) -> None:
        """Note that the camera gives frames; once a second is enough."""
        self.read(AlarmReading(CAMERA, "rms", unix_s, 0.0, steady_s=steady_s))

    def read(self, reading: AlarmReading) -> None:
        """Take any reading."""
        with self._lock:
            self._carry_out(self._board.read(reading))
            if reading.quantity == "frequency":
                self._keep_baselines()
                self._keep_learning(_KEPT_EVERY_S)

    def advance(self, steady_s: float, unix_s: float | None = None) -> None:
        """Advance the time, once a second, so that silence is noticed; see `AlarmBoard.advance`."""
        with self._lock:
            self._carry_out(self._board.advance(steady_s, unix_s))

    def acknowledge(self, name: str, by: str, unix_s: float) -> bool:
        """Acknowledge the latest raise of an alarm; False if there is none to acknowledge."""
        with self._lock:
            if not self._board.acknowledge(name, unix_s):
                return False
            self._store(Acknowledgement(name, unix_s, by))
        log.info("alarm %s acknowledged by %s", name, by)
        return True

    def statuses(self) -> tuple[AlarmStatus, ...]:
        """State of every alarm."""
        with self._lock:
            return self._board.statuses()

    def _note_kept(self) -> None:
        self._learned = set(self._board.baselines())
        self._kept_s = {name: each.learned_s for name, each in self._board.learnings().items()}

    def _keep_baselines(self) -> None:
        for name, baseline in self._board.baselines().items():
            if name not in self._learned:
                self._learned.add(name)
                self._store(LearnedBaseline(name, baseline))
                log.info("alarm %s: baseline learned: %.5g Hz", name, baseline.value)

    def _keep_learning(self, every_s: float) -> None:
        """Store progress of learning where it grew by more than ``every_s`` since last stored, the first at once."""
        for name, learning in self._board.learnings().items():
            if learning.learned_s - self._kept_s.get(name, -math.inf) > every_s:
                self._kept_s[name] = learning.learned_s
                self._store(LearningBaseline(name, learning))

    def _end(self, opened: Iterable[OpenAlarm], before: Mapping[str, AlarmRule], now_s: float) -> None:
        """Clear raised alarms that are no longer configured."""
        names = {alarm.name for alarm in self._settings.alarms}
        for alarm in opened:
            if alarm.name not in names:
                self._store(_ended(alarm, before.get(alarm.name), now_s))
                log.warning("alarm %s was raised and is no longer configured: cleared", alarm.name)

    def _carry_out(self, edges: Iterable[AlarmEdge]) -> None:
        for edge in edges:
            self._store(edge)
            fields = {"alarm": edge.name, "edge": edge.edge, "value": edge.value, "unit": edge.unit}
            log.warning("%s", edge, extra={"fields": fields})
            self._on_edge(edge, any(each.name == edge.name and each.record for each in self._settings.alarms))


def _in_mm(reading: AlarmReading, scale: Scale, value_px: float) -> AlarmReading:
    """A reading in px in mm, with the uncertainty that the scale brings."""
    value, sigma = scale.mm_per_px * value_px, scale.sigma_mm(value_px, 0.0)
    told = f"{reading.quantity} {value:.3g} ± {sigma:.2g} mm" if sigma > 0 else ""
    return replace(reading, value=value, deviation=sigma, unit="mm", detail=told)


def _ended(alarm: OpenAlarm, rule: AlarmRule | None, now_s: float) -> AlarmEdge:
    if rule is not None:
        return rule.edge("cleared", now_s, now_s, 0.0)
    return AlarmEdge(alarm.name, "", "signal", "cleared", now_s, now_s, 0.0, 0.0, "")
