"""Alarms of the service: from settings to rules, from readings to edges, over reloads and restarts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from service_parts import MID_SPAN, QUARTER, Told, vibration

from tremorscope.runtime.service.alarming import AlarmService, alarm_rules
from tremorscope.runtime.service.measuring import RegionLevels
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.records import Acknowledgement, LearnedBaseline, LearningBaseline
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.vibration.displacement.regions import Scale
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, AlarmReading, OpenAlarm
from tremorscope.runtime.vibration.monitoring.levels import Baseline, Levels, LevelWindow
from tremorscope.runtime.vibration.monitoring.motion_levels import LimitWatch, MotionWindows
from tremorscope.runtime.vibration.settings import AlarmSettings, VibrationSettings

SWAY = {
    "name": "sway",
    "quantity": "rms",
    "region": "mid-span",
    "above_mm": 2.0,
    "dwell_s": 2,
    "clear_dwell_s": 2,
}
SHIFT = {
    "name": "shift",
    "quantity": "frequency",
    "mode": "first",
    "above_percent": 4,
    "dwell_s": 0,
    "learning_s": 0,
}
SILENT = {"name": "silent", "quantity": "signal", "source": "camera", "silence_s": 10, "clear_dwell_s": 0}
FIRST = {"name": "first", "low_hz": 1.8, "high_hz": 2.4}


def settings(*alarms: dict[str, object]) -> VibrationSettings:
    return vibration(
        regions=[MID_SPAN, QUARTER], modes=[FIRST], alarms=alarms, scale={"mm_per_px": 5}, analyse_every_s=60
    )


class Desk:
    def __init__(self, *alarms: dict[str, object], **more: object) -> None:
        self.edges, self.stored = Told(), Told()
        self.settings = settings(*alarms)
        self.desk = AlarmService(self.settings, on_edge=self.edges, store=self.stored, **more)  # type: ignore[arg-type]

    def level(self, time_s: float, rms_px: float, name: str = "mid-span") -> None:
        found = Levels(time_s - 1, time_s, 2 * rms_px, rms_px, 30, 0)
        self.desk.levels(time_s, [RegionLevels(name, found, Scale.stated(5.0))])

    def told(self) -> list[tuple[str, str, bool]]:
        return [(edge.name, edge.edge, record) for edge, record in self.edges.all]


class TestRules:
    def test_say_what_the_settings_say(self) -> None:
        in_px = SWAY | {"name": "px", "quantity": "peak", "above_mm": None, "above_px": 3, "clear_at": 0.5}
        sway, px, shift, silent = alarm_rules(settings(SWAY, in_px, SHIFT, SILENT))
        assert (sway.source, sway.quantity, sway.threshold, sway.clear_at, sway.unit) == (
            "mid-span", "rms", 2.0, 1.6, "mm",
        )  # fmt: skip
        assert (px.quantity, px.threshold, px.clear_at, px.unit) == ("peak", 3.0, 1.5, "px")
        assert (shift.source, shift.threshold, shift.threshold_unit) == ("first", 4.0, "%")
        # Readings come once a minute: a dwell survives three that fail to come.
        assert shift.longest_gap_s > 3 * 60
        assert (silent.source, silent.threshold, silent.dwell_s) == ("camera", 10.0, 0.0)


KINDS = get_args(get_args(AlarmSettings)[0])
QUANTITIES = [each for kind in KINDS for each in get_args(kind.model_fields["quantity"].annotation)]
CURVE: dict[str, object] = {
    "name": "curve",
    "region": "mid-span",
    "statistic": "rms",
    "limits": [[1, 5], [12, 9]],
}
STANDARD: dict[str, object] = {
    "name": "comfort",
    "quantity": "standard",
    "standard": "en-1990-footbridge",
    "class": "vertical",
    "region": "mid-span",
}
WATCHED: dict[str, dict[str, object]] = {
    "frequency": SHIFT | {"clear_dwell_s": 0},
    "signal": SILENT,
    "displacement": CURVE | {"unit": "mm"},
    "velocity": CURVE | {"unit": "mm/s"},
    "acceleration": CURVE | {"unit": "px/s2"},
    "standard": STANDARD,
}
"""An alarm on each quantity; one that is not here watches the displacement of a region."""


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_every_quantity_that_can_be_configured_gets_readings(quantity: str) -> None:
    """A quantity that nothing measures is an alarm that is never raised."""
    rig = Desk(WATCHED.get(quantity, SWAY) | {"name": "any", "quantity": quantity})
    window = LevelWindow(1.0)
    criteria = [rule.criterion for rule in alarm_rules(rig.settings) if rule.criterion]
    motion = MotionWindows(1, 1.0, 30.0, [LimitWatch(0, each, 5.0) for each in criteria])
    for second in range(20):
        for frame in range(30):
            time_s = second + frame / 30
            moved = np.array([[0.0, 0.1 * math.sin(15 * time_s)]])
            found = motion.add(time_s, moved, np.full((1, 2), 1e-4))
            if found is not None:
                rig.desk.limits(time_s, [("mid-span", judged) for _, judged in found.judgements])
            levels = window.add(time_s, 0.1 * (frame % 2), 0.0)
            if levels is not None:
                rig.desk.levels(time_s, [RegionLevels("mid-span", levels, Scale.stated(5.0))])
        rig.desk.frame(second)
        rig.desk.read(AlarmReading("first", "frequency", 60.0 * second, 2.1, 0.001))
    (status,) = rig.desk.statuses()
    assert status.rule.quantity == ("acceleration" if quantity == "standard" else quantity)
    assert status.value is not None


class TestDesk:
    def test_tells_the_uncertainty_of_a_calibrated_scale(self) -> None:
        rig = Desk(SWAY | {"dwell_s": 0})
        levels = RegionLevels("mid-span", Levels(0, 1, 1.2, 0.6, 30, 0), Scale(5.0, "by board", 0.04))
        rig.desk.levels(1.0, [levels])
        ((edge, _),) = rig.edges.all
        assert str(edge) == "alarm sway raised: mid-span: rms 3 ± 0.12 mm, threshold 2 mm"
        assert rig.stored.all[0].detail == "rms 3 ± 0.12 mm"

    def test_judges_millimetres_by_millimetres_and_pixels_by_pixels(self) -> None:
        in_px = SWAY | {"name": "px", "above_mm": None, "above_px": 2.0}
        rig = Desk(SWAY, in_px)
        for second in range(10):
            rig.level(second, 0.5)  # 2.5 mm
        assert rig.told() == [("sway", "raised", True)]
        edge = rig.edges.all[0][0]
        assert (edge.value, edge.unit, edge.time_s) == (2.5, "mm", 2.0)
        assert rig.stored.of(AlarmEdge) == [edge]

    def test_watches_each_region_by_itself(self) -> None:
        rig = Desk(SWAY)
        for second in range(10):
            rig.level(second, 5.0, "quarter")
        assert rig.told() == []

    def test_notices_silence_without_any_reading_and_its_end(self) -> None:
        rig = Desk(SILENT | {"record": False})
        rig.desk.advance(0.0)
        rig.desk.frame(1.0)
        rig.desk.advance(10.0)
        assert rig.told() == []
        rig.desk.advance(11.5)
        rig.desk.frame(12.0)
        assert rig.told() == [("silent", "raised", False), ("silent", "cleared", False)]

    def test_stores_a_baseline_once_it_is_learned_and_does_not_learn_it_again(self) -> None:
        rig = Desk(SHIFT)
        for minute in range(12):
            rig.desk.read(AlarmReading("first", "frequency", 60.0 * minute, 2.1, 0.001))
        (learned,) = rig.stored.of(LearnedBaseline)
        assert (learned.alarm, learned.baseline.value) == ("shift", 2.1)
        after = Desk(SHIFT, baselines={"shift": learned.baseline})
        after.desk.read(AlarmReading("first", "frequency", 5000.0, 1.9, 0.001))
        assert after.told() == [("shift", "raised", True)]
        assert after.stored.of(LearnedBaseline) == []

    def test_acknowledges_once(self) -> None:
        rig = Desk(SWAY)
        assert not rig.desk.acknowledge("sway", "me", 0.0)
        for second in range(4):
            rig.level(second, 1.0)
        assert rig.desk.acknowledge("sway", "me", 5.0)
        assert not rig.desk.acknowledge("sway", "me", 6.0)
        assert rig.stored.of(Acknowledgement) == [Acknowledgement("sway", 5.0, "me")]


class TestChange:
    def test_keeps_alarms_that_stay_raised_and_clears_by_the_new_threshold(self) -> None:
        rig = Desk(SWAY)
        for second in range(4):
            rig.level(second, 0.5)
        rig.desk.use(settings(SWAY | {"above_mm": 20.0}), 4.0)
        (status,) = rig.desk.statuses()
        assert status.phase == "raised"
        for second in range(5, 9):
            rig.level(second, 0.5)
        assert rig.told() == [("sway", "raised", True), ("sway", "cleared", True)]

    def test_clears_what_is_no_longer_configured(self) -> None:
        rig = Desk(SWAY)
        for second in range(4):
            rig.level(second, 1.0)
        rig.desk.use(settings(SILENT), 9.0)
        cleared = rig.stored.of(AlarmEdge)[-1]
        assert (cleared.name, cleared.edge, cleared.time_s, cleared.source) == (
            "sway",
            "cleared",
            9.0,
            "mid-span",
        )
        assert [each.rule.name for each in rig.desk.statuses()] == ["silent"]

    def test_learns_anew_for_another_mode_and_keeps_the_baseline_for_the_same(self) -> None:
        known = {"shift": Baseline(2.1, 0.01, 50, 0.0, 1.0)}
        rig = Desk(SHIFT, baselines=known)
        rig.desk.use(settings(SHIFT | {"above_percent": 3}), 1.0)
        assert rig.desk.statuses()[0].baseline == known["shift"]
        second = FIRST | {"name": "second", "low_hz": 4, "high_hz": 5}
        other = vibration(modes=[FIRST, second], alarms=[SHIFT | {"mode": "second"}])
        rig.desk.use(other, 2.0)
        assert rig.desk.statuses()[0].baseline is None


class TestRestart:
    def test_goes_on_with_what_was_raised_and_clears_what_nobody_follows(self) -> None:
        opened = [OpenAlarm("sway", 100.0, 110.0), OpenAlarm("gone", 90.0)]
        rig = Desk(SWAY, opened=opened, now_s=200.0)
        (status,) = rig.desk.statuses()
        assert (status.phase, status.raised_s, status.acknowledged_s) == ("raised", 100.0, 110.0)
        (edge,) = rig.stored.of(AlarmEdge)
        assert (edge.name, edge.edge, edge.time_s) == ("gone", "cleared", 200.0)

    def test_a_store_that_was_away_learns_what_was_cleared_meanwhile(self, tmp_path: Path) -> None:
        rig = Desk(SWAY, SILENT)
        with Store(tmp_path / "s.db") as store:
            store.write(
                [AlarmEdge(name, "", "rms", "raised", 1.0, 1.0, 3.0, 2.0, "mm") for name in ("sway", "old")]
            )
            for second in range(4):
                rig.level(10.0 + second, 1.0)
            with StoreReader(store.path) as reader:
                rig.desk.store_again([*reader.open_alarms(), OpenAlarm("silent", 2.0)], 50.0)
            store.write(rig.stored.all)
            with StoreReader(store.path) as reader:
                rows = [(each.name, each.raised_s, each.cleared_s) for each in reader.alarms()]
        # What is raised still keeps its later raise; what nobody raises any more ends when the store is back.
        assert rows == [("sway", 1.0, 12.0), ("old", 1.0, 50.0), ("sway", 12.0, None)]


TWO_WEEKS = SHIFT | {"learning_s": 1_209_600}


class TestLearning:
    """Fourteen days at a reading each minute; the process has clocks of its own."""

    def learn(self, desk: AlarmService, minutes: range, unix_from_s: float = 1.7e9) -> None:
        for minute in minutes:
            time_s = 60.0 * minute
            desk.read(AlarmReading("first", "frequency", unix_from_s + time_s, 2.1, 0.001, steady_s=time_s))

    def test_outlives_a_reload_of_another_key(self) -> None:
        rig = Desk(TWO_WEEKS)
        self.learn(rig.desk, range(20_159))
        rig.desk.use(settings(TWO_WEEKS | {"above_percent": 3}, SWAY), 0.0)
        assert rig.stored.of(LearnedBaseline) == []
        self.learn(rig.desk, range(20_159, 20_162))
        (learned,) = rig.stored.of(LearnedBaseline)
        assert (learned.baseline.value, learned.baseline.readings) == (2.1, 20_162)

    def test_begins_anew_for_another_mode(self) -> None:
        rig = Desk(TWO_WEEKS)
        self.learn(rig.desk, range(100))
        second = FIRST | {"name": "second", "low_hz": 4, "high_hz": 5}
        rig.desk.use(vibration(modes=[FIRST, second], alarms=[TWO_WEEKS | {"mode": "second"}]), 0.0)
        rig.desk.read(AlarmReading("second", "frequency", 9.0, 4.4, 0.001, steady_s=9.0))
        latest = rig.stored.of(LearningBaseline)[-1].learning
        assert (latest.source, latest.readings, latest.learned_s) == ("second", 1, 0.0)

    @pytest.mark.parametrize("orderly", [True, False])
    def test_outlives_a_restart_and_at_most_five_minutes_are_lost(
        self, orderly: bool, tmp_path: Path
    ) -> None:
        first = Desk(TWO_WEEKS)
        self.learn(first.desk, range(1000))
        if orderly:
            first.desk.keep_learning()
        with Store(tmp_path / "s.db") as store, StoreReader(store.path) as reader:
            store.write(first.stored.of(LearningBaseline))
            known = reader.learnings()["shift"]
            assert len(first.stored.of(LearningBaseline)) <= 1000 / 5 + 2  # little is written
            assert known.learned_s == 999 * 60.0 if orderly else known.learned_s >= 999 * 60.0 - 360
            second = Desk(TWO_WEEKS, learnings=reader.learnings())
            self.learn(second.desk, range(20_160 - 999 + 7))
            store.write(second.stored.all)
            assert reader.baselines()["shift"].value == 2.1
            assert reader.learnings() == {}

    def test_takes_what_a_store_holds_that_could_be_opened_late_only(self) -> None:
        known = {"shift": Baseline(2.1, 0.01, 20_000, 0.0, 1.2e6)}
        rig = Desk(TWO_WEEKS)
        self.learn(rig.desk, range(10))
        rig.desk.resume([OpenAlarm("sway", 100.0), OpenAlarm("shift", 90.0)], known, {}, 1.7e9)
        before = len(rig.stored.of(LearningBaseline))
        self.learn(rig.desk, range(10, 30))
        (status,) = rig.desk.statuses()
        assert (status.baseline, status.raised_s) == (known["shift"], 90.0)
        assert len(rig.stored.of(LearningBaseline)) == before  # what is known is not learned over it
        assert rig.stored.of(AlarmEdge)[0].name == "sway"


class TestLimits:
    """Alarms on the limits of standards: by which clause, with what margin, and never judged in silence."""

    def judged(
        self, rig: Desk, share: float, seconds: float = 12.0, noise_px: float = 1e-5, rate_hz: float = 60.0
    ) -> None:
        """Shake mid-span along y at 4 Hz with a share of 0.7 m/s2."""
        rate_hz = 60.0
        criteria = [rule.criterion for rule in alarm_rules(rig.settings) if rule.criterion]
        motion = MotionWindows(1, 1.0, rate_hz, [LimitWatch(0, each, 5.0) for each in criteria])
        amplitude_px = share * 700 / 5 / (8 * math.pi) ** 2
        for frame in range(round(seconds * rate_hz)):
            time_s = frame / rate_hz
            moved = np.array([[0.0, amplitude_px * math.sin(8 * math.pi * time_s)]])
            found = motion.add(time_s, moved, np.full((1, 2), noise_px))
            if found is not None:
                rig.desk.limits(time_s - found.behind_s, [("mid-span", each) for _, each in found.judgements])

    def test_a_limit_that_is_passed_is_raised_with_clause_limit_and_margin(self) -> None:
        rig = Desk(STANDARD)
        self.judged(rig, 1.2)
        ((edge, _),) = rig.edges.all
        assert (edge.name, edge.edge, edge.unit, edge.threshold) == ("comfort", "raised", "m/s2", 0.7)
        assert edge.value == pytest.approx(0.84, rel=0.01)
        assert "EN 1990:2002/A1:2005, A2.4.3.2, vertical" in str(edge)
        assert "margin -20 %" in edge.detail
        assert rig.stored.of(AlarmEdge) == [edge]

    def test_a_limit_that_is_kept_is_not(self) -> None:
        rig = Desk(STANDARD)
        self.judged(rig, 0.9)
        assert rig.told() == []
        (status,) = rig.desk.statuses()
        assert (status.phase, status.judged) == ("normal", True)
        assert "margin 10 %" in status.detail

    def test_noise_over_the_limit_is_told_and_neither_raises_nor_clears(self) -> None:
        rig = Desk(STANDARD)
        self.judged(rig, 1.2, noise_px=1.0)
        assert rig.told() == []
        (status,) = rig.desk.statuses()
        assert not status.judged
        assert status.detail.startswith("not judged: noise alone shows")

    def test_two_limits_on_one_region_are_judged_each_by_itself(self) -> None:
        curve = CURVE | {
            "quantity": "acceleration",
            "unit": "m/s2",
            "statistic": "peak",
            "limits": [[1, 2], [12, 2]],
        }
        rig = Desk(STANDARD, curve)
        self.judged(rig, 1.2)
        assert rig.told() == [("comfort", "raised", True)]
        assert [status.value == pytest.approx(0.84, rel=0.02) for status in rig.desk.statuses()] == [
            True,
            True,
        ]

    def test_a_restart_keeps_it_raised_and_the_store_keeps_the_clause(self, tmp_path: Path) -> None:
        rig = Desk(STANDARD)
        self.judged(rig, 1.2)
        with Store(tmp_path / "s.db") as store, StoreReader(tmp_path / "s.db") as reader:
            store.write(rig.stored.of(AlarmEdge))
            (alarm,) = reader.alarms()
            assert "A2.4.3.2" in alarm.detail
            after = Desk(STANDARD, opened=reader.open_alarms())
        self.judged(after, 0.5, seconds=50)
        assert after.told() == [("comfort", "cleared", True)]
