"""Alarms: when they are raised and cleared, what they compare with, and what they do not fall for."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.monitoring.alarm_board import AlarmBoard
from tremorscope.runtime.vibration.monitoring.alarms import (
    AlarmEdge,
    AlarmReading,
    AlarmRule,
    OpenAlarm,
    Quantity,
)
from tremorscope.runtime.vibration.monitoring.levels import Baseline, BaselineLearner


def rule(quantity: Quantity = "rms", **changes: Any) -> AlarmRule:
    settled: dict[str, Any] = {
        "name": "deck",
        "source": "midspan",
        "quantity": quantity,
        "threshold": 1.0,
        "clear_at": 0.8,
        "dwell_s": 2.0,
        "clear_dwell_s": 3.0,
        "longest_gap_s": 5.0,
    }
    return AlarmRule(**settled | changes)


def feed(board: AlarmBoard, values: list[float | None], quantity: Any = "rms", start_s: float = 0.0) -> Any:
    """Readings at 1 Hz; the edges as (time, edge)."""
    edges: list[AlarmEdge] = []
    for number, value in enumerate(values):
        edges += board.read(AlarmReading("midspan", quantity, start_s + number, value))
    return [(edge.time_s, edge.edge) for edge in edges]


def test_both_edges_are_reported_with_what_led_to_them() -> None:
    board = AlarmBoard([rule(unit="mm")])
    edges = [
        edge
        for number, value in enumerate([0.2, 1.1, 1.2, 1.3, 0.9, 0.5, 0.4, 0.3, 0.25])
        for edge in board.read(AlarmReading("midspan", "rms", float(number), value))
    ]
    raised, cleared = edges
    assert raised == AlarmEdge("deck", "midspan", "rms", "raised", 3.0, 1.0, 1.3, 1.0, "mm")
    assert cleared == AlarmEdge("deck", "midspan", "rms", "cleared", 8.0, 5.0, 0.25, 1.0, "mm")
    assert str(raised) == "alarm deck raised: rms of midspan 1.3 mm, threshold 1 mm"


def test_other_sources_and_quantities_do_not_matter() -> None:
    board = AlarmBoard([rule()])
    for number in range(10):
        assert board.read(AlarmReading("pier", "rms", float(number), 9.0)) == []
        assert board.read(AlarmReading("midspan", "peak", float(number), 9.0)) == []


def test_what_could_not_be_measured_neither_raises_nor_clears() -> None:
    board = AlarmBoard([rule()])
    assert feed(board, [2.0, None, math.nan, 2.0]) == [(3.0, "raised")]
    assert feed(board, [None, math.nan, math.inf, -math.inf] * 20, start_s=4.0) == []
    assert board.statuses()[0].phase == "raised"


VALUES = st.lists(
    st.one_of(st.none(), st.just(math.nan), st.floats(0.0, 3.0), st.floats(0.801, 0.999)), max_size=150
)


@given(VALUES)
def test_never_two_raised_without_a_cleared(values: list[float | None]) -> None:
    edges = [edge for _, edge in feed(AlarmBoard([rule()]), values)]
    assert edges == ["raised", "cleared"] * (len(edges) // 2) + ["raised"] * (len(edges) % 2)


@given(VALUES)
def test_no_chatter_inside_the_band(values: list[float | None]) -> None:
    inside = [None if value is None else 0.801 + value % 0.19 for value in values]
    for dwell_s in (0.0, 2.0):
        board = AlarmBoard([rule(dwell_s=dwell_s, clear_dwell_s=dwell_s)])
        assert feed(board, inside) == []
        feed(board, [2.0, 2.0, 2.0], start_s=1000.0)
        assert feed(board, inside, start_s=1003.0) == []


@given(VALUES)
def test_an_edge_takes_the_dwell_in_every_history(values: list[float | None]) -> None:
    edges = feed(AlarmBoard([rule()]), values)
    for (early_s, _), (late_s, edge) in itertools.pairwise(edges):
        assert late_s - early_s >= (3.0 if edge == "cleared" else 2.0)


@given(VALUES, st.integers(0, 150))
@settings(max_examples=50)
def test_a_restart_in_between_makes_no_second_raised_edge(values: list[float | None], cut: int) -> None:
    first = AlarmBoard([rule()])
    edges = feed(first, values[:cut])
    second = AlarmBoard([rule()], opened=first.opened(), baselines=first.baselines())
    edges += feed(second, values[cut:], start_s=float(cut))
    names = [edge for _, edge in edges]
    assert names == ["raised", "cleared"] * (len(names) // 2) + ["raised"] * (len(names) % 2)


class TestAcknowledging:
    def test_it_needs_attention_until_it_is_cleared_and_acknowledged(self) -> None:
        board = AlarmBoard([rule()])
        assert not board.acknowledge("deck", 0.0)
        feed(board, [2.0, 2.0, 2.0])
        assert board.statuses()[0].needs_attention
        feed(board, [0.0] * 5, start_s=3.0)
        (status,) = board.statuses()
        assert (status.phase, status.raised_s, status.acknowledged_s) == ("normal", 2.0, None)
        assert status.needs_attention
        assert board.acknowledge("deck", 9.0)
        assert not board.acknowledge("deck", 10.0)
        (status,) = board.statuses()
        assert status.acknowledged_s == 9.0
        assert not status.needs_attention

    def test_each_raise_is_acknowledged_for_itself(self) -> None:
        board = AlarmBoard([rule(dwell_s=0.0, clear_dwell_s=0.0)])
        feed(board, [2.0])
        board.acknowledge("deck", 0.5)
        assert board.statuses()[0].needs_attention  # still raised
        feed(board, [0.0, 2.0], start_s=1.0)
        assert board.statuses()[0].acknowledged_s is None

    def test_an_unknown_alarm_cannot_be_acknowledged(self) -> None:
        assert not AlarmBoard([rule()]).acknowledge("mast", 0.0)


def test_a_raised_alarm_survives_a_restart_acknowledged_or_not() -> None:
    board = AlarmBoard([rule()], opened=[OpenAlarm("deck", 50.0, 60.0), OpenAlarm("gone", 1.0)])
    assert board.opened() == (OpenAlarm("deck", 50.0, 60.0),)
    assert feed(board, [2.0] * 10, start_s=100.0) == []
    assert feed(board, [0.1] * 4, start_s=110.0) == [(113.0, "cleared")]


class TestFrequencyShift:
    def shift_rule(self, **changes: Any) -> AlarmRule:
        return rule("frequency", threshold=2.0, clear_at=1.0, learning_s=60.0, **changes)

    def test_the_baseline_is_learned_over_the_stated_time_and_outliers_do_not_bend_it(self) -> None:
        rng = np.random.default_rng(0)
        board = AlarmBoard([self.shift_rule()])
        hz = [4.0 + 0.01 * float(rng.standard_normal()) for _ in range(61)]
        hz[10:18] = [7.3] * 8
        assert feed(board, [*hz[:60]], "frequency") == []
        assert board.statuses()[0].phase == "learning"
        feed(board, [hz[60]], "frequency", start_s=60.0)
        (status,) = board.statuses()
        assert status.phase == "normal"
        assert status.baseline is not None
        assert status.baseline.value == pytest.approx(4.0, abs=0.005)
        assert status.baseline.scatter == pytest.approx(0.01, rel=0.4)
        assert (status.baseline.readings, status.baseline.from_s, status.baseline.to_s) == (61, 0.0, 60.0)

    @pytest.mark.parametrize("hz", [3.9, 4.1])
    def test_a_shift_either_way_is_an_alarm_in_per_cent(self, hz: float) -> None:
        board = AlarmBoard([self.shift_rule()], baselines={"deck": Baseline(4.0, 0.01, 100, 0.0, 60.0)})
        assert feed(board, [3.97] * 20, "frequency") == []
        edges = [
            edge
            for number in range(3)
            for edge in board.read(AlarmReading("midspan", "frequency", 20.0 + number, hz))
        ]
        assert [edge.edge for edge in edges] == ["raised"]
        assert (edges[0].value, edges[0].unit) == (pytest.approx(2.5), "%")

    @pytest.mark.parametrize("deviation", [0.08, math.inf, math.nan])
    def test_a_frequency_that_is_not_known_well_enough_says_nothing(self, deviation: float) -> None:
        board = AlarmBoard([self.shift_rule()], baselines={"deck": Baseline(4.0, 0.01, 100, 0.0, 60.0)})
        for number in range(20):
            reading = AlarmReading("midspan", "frequency", float(number), 3.5, deviation)
            assert board.read(reading) == []
            assert board.read(replace(reading, value=-1.0, deviation=0.0)) == []

    def test_few_readings_prolong_the_learning(self) -> None:
        learner = BaselineLearner(60.0)
        found = [learner.add(30.0 * number, 4.0) for number in range(10)]
        assert found[:9] == [None] * 9
        assert found[9] == Baseline(4.0, 0.0, 10, 0.0, 270.0)

    @pytest.mark.parametrize("set_by_s", [-2.0, 86_400.0, 1.78e9])
    def test_a_clock_that_is_set_neither_ends_nor_restarts_the_learning(self, set_by_s: float) -> None:
        learner = BaselineLearner(60.0)
        found = [
            learner.add(float(number), 4.0, 1000.0 + number + (set_by_s if number >= 30 else 0.0))
            for number in range(61)
        ]
        assert found[:60] == [None] * 60
        assert found[60] == Baseline(4.0, 0.0, 61, 1000.0 + set_by_s, 1060.0 + set_by_s)

    def test_silence_is_no_time_with_readings(self) -> None:
        learner = BaselineLearner(100.0, longest_gap_s=3.5)
        found = [learner.add(86_400.0 * number, 4.0) for number in range(28)]  # 3.5 s each count, 28 days
        assert found == [None] * 28
        assert learner.learning.learned_s == pytest.approx(27 * 3.5)

    @given(st.lists(st.integers(1, 199), max_size=5, unique=True))
    @settings(max_examples=20)
    def test_it_is_taken_up_again_where_it_was(self, cuts: list[int]) -> None:
        """However often the process ends, and whatever the clocks of the next one show: as without any end."""
        values = np.random.default_rng(3).normal(4.0, 0.01, 400)
        whole, broken = BaselineLearner(180.0, source="first"), BaselineLearner(180.0, source="first")
        origin_s = 0.0
        for number in range(200 + len(cuts)):
            if number in cuts:  # the first second of each process does not count, and nothing else is lost
                broken = BaselineLearner(180.0, source="first", before=broken.learning)
                origin_s = -1e6 * number
            done = broken.add(origin_s + number, float(values[number]))
            if done is not None:
                break
        assert done is not None
        assert done.readings == 181 + len(set(cuts) & set(range(number + 1)))
        for number in range(done.readings):
            whole.add(float(number), float(values[number]))
        assert done.value == float(np.median(values[: done.readings]))

    def test_what_was_learned_of_another_source_is_not_taken_up(self) -> None:
        before = BaselineLearner(60.0, source="first")
        before.add(0.0, 4.0)
        assert BaselineLearner(60.0, source="second", before=before.learning).readings == 0

    def test_a_month_is_learned_in_constant_memory(self) -> None:
        learner = BaselineLearner(1e9)
        for number in range(50_000):
            learner.add(float(number), 4.0 + number / 50_000)
        assert learner.readings == 50_000
        assert len(learner._kept) < 1024
        assert np.median(learner._kept) == pytest.approx(4.5, abs=0.01)


class TestLossOfSignal:
    def signal_rule(self, **changes: Any) -> AlarmRule:
        return rule("signal", **{"threshold": 10.0, "clear_at": 0.0, "dwell_s": 0.0} | changes)

    def test_silence_raises_it_and_steady_readings_clear_it(self) -> None:
        board = AlarmBoard([self.signal_rule()])
        feed(board, [0.1] * 5)  # heard until 4 s
        edges = [edge for now in range(5, 31) for edge in board.advance(float(now))]
        assert [(edge.time_s, edge.edge, edge.value, edge.unit) for edge in edges] == [
            (14.0, "raised", 10.0, "s")
        ]
        assert feed(board, [0.1] * 4, start_s=31.0) == [(34.0, "cleared")]

    def test_readings_without_a_value_are_silence(self) -> None:
        board = AlarmBoard([self.signal_rule()])
        edges: list[AlarmEdge] = []
        for now in range(30):
            edges += board.read(AlarmReading("midspan", "peak", float(now), math.nan if now > 4 else 0.1))
            edges += board.advance(float(now))
        assert [(edge.time_s, edge.edge) for edge in edges] == [(14.0, "raised")]

    def test_a_source_that_is_never_heard_is_lost_too(self) -> None:
        board = AlarmBoard([self.signal_rule()])
        edges = [edge for now in range(100, 130) for edge in board.advance(float(now))]
        assert [(edge.time_s, edge.edge) for edge in edges] == [(110.0, "raised")]

    def test_a_silence_that_nobody_asked_about_is_noticed_when_it_ends(self) -> None:
        board = AlarmBoard([self.signal_rule()])
        assert feed(board, [0.1]) == []
        assert feed(board, [0.1] * 5, start_s=50.0) == [(50.0, "raised"), (54.0, "cleared")]

    @pytest.mark.parametrize("set_by_s", [-4900.0, -2.0, 86_400.0, 1.78e9])
    def test_a_clock_that_is_set_is_no_silence(self, set_by_s: float) -> None:
        board = AlarmBoard([self.signal_rule()])
        edges: list[AlarmEdge] = []
        for number in range(60):
            unix_s = 5000.0 + number + (set_by_s if number >= 30 else 0.0)
            edges += board.read(AlarmReading("midspan", "rms", unix_s, 0.1, steady_s=float(number)))
            edges += board.advance(float(number), unix_s)
        assert edges == []

    def test_a_silence_while_the_clock_is_set_is_told_as_long_as_it_was(self) -> None:
        board = AlarmBoard([self.signal_rule()])
        board.read(AlarmReading("midspan", "rms", 5.0, 0.1, steady_s=5.0))
        edges = [edge for now in range(6, 30) for edge in board.advance(float(now), 1.78e9 + now)]
        assert [(edge.edge, edge.time_s, edge.value) for edge in edges] == [("raised", 1.78e9 + 15, 10.0)]


@pytest.mark.parametrize("set_by_s", [-86_400.0, 86_400.0])
def test_a_clock_that_is_set_neither_shortens_nor_restarts_a_dwell(set_by_s: float) -> None:
    board = AlarmBoard([rule(dwell_s=20.0)])
    edges = [
        edge
        for number in range(30)
        for edge in board.read(
            AlarmReading(
                "midspan",
                "rms",
                1e6 + number + (set_by_s if number >= 10 else 0.0),
                2.0,
                steady_s=float(number),
            )
        )
    ]
    assert [(edge.edge, edge.time_s, edge.since_s) for edge in edges] == [
        ("raised", 1e6 + 20 + set_by_s, 1e6 + set_by_s)
    ]


def test_rules_that_stay_go_on_undisturbed_when_others_change() -> None:
    silence = rule("signal", name="silent", threshold=10.0, clear_at=0.0, dwell_s=0.0)
    board = AlarmBoard([rule(dwell_s=20.0), silence])
    for number in range(15):
        board.read(AlarmReading("midspan", "rms", float(number), 2.0))
    board.follow([rule(dwell_s=20.0), silence, rule(name="other", source="pier")])
    edges = [edge for now in range(15, 40) for edge in board.advance(float(now))]
    assert [(edge.name, edge.time_s) for edge in edges] == [("silent", 24.0)]
    board = AlarmBoard([rule(dwell_s=20.0)])
    feed(board, [2.0] * 15)
    board.follow([rule(dwell_s=20.0), rule(name="other", source="pier")])
    assert feed(board, [2.0] * 10, start_s=15.0) == [(20.0, "raised")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"threshold": 0.0, "clear_at": 0.0}, "threshold of 0 cannot be reached or is always passed"),
        ({"threshold": math.nan}, "threshold of nan"),
        ({"threshold": math.inf}, "threshold of inf"),
        ({"clear_at": 1.1}, r"would clear at 1.1 and be raised at 1: let it clear at or below the threshold"),
        ({"clear_at": -0.1}, "would clear at -0.1"),
        ({"clear_at": math.nan}, "would clear at nan"),
        ({"dwell_s": -1.0}, "a time of -1 s is not a finite number of 0 or more: give times of 0 s or more"),
    ],
)
def test_rules_that_cannot_be_followed_are_refused(changes: dict[str, float], message: str) -> None:
    with pytest.raises(OptionFault, match=message):
        AlarmBoard([rule(**changes)])


def test_two_alarms_of_one_name_are_refused() -> None:
    with pytest.raises(OptionFault, match="two alarms are named deck: give each a name of its own"):
        AlarmBoard([rule(), rule()])
