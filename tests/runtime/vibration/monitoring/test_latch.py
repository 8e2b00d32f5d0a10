"""The latch behind every alarm: edges in turn, dwell kept, no chatter, no evidence from silence."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tremorscope.runtime.vibration.monitoring.alarms import Latch, Verdict

Stream = list[tuple[float, Verdict]]

VERDICTS = st.sampled_from(["bad", "between", "good"])
STEPS_S = st.one_of(
    st.just(0.0), st.floats(0.01, 3.0), st.floats(10.0, 100.0), st.floats(-50.0, -0.01), st.just(1.0)
)
STREAMS = st.lists(st.tuples(STEPS_S, VERDICTS), max_size=200)
DWELLS_S = st.one_of(st.just(0.0), st.floats(0.1, 8.0))


def latch(raise_after_s: float = 2.0, clear_after_s: float = 3.0, longest_gap_s: float = 5.0) -> Latch:
    return Latch(raise_after_s=raise_after_s, clear_after_s=clear_after_s, longest_gap_s=longest_gap_s)


def edges_of(machine: Latch, stream: Stream) -> list[tuple[float, str]]:
    found = [(time_s, machine.update(time_s, verdict)) for time_s, verdict in stream]
    return [(time_s, edge) for time_s, edge in found if edge is not None]


def timed(steps: list[tuple[float, Verdict]]) -> Stream:
    stream, now_s = [], 1000.0
    for step_s, verdict in steps:
        now_s += step_s
        stream.append((now_s, verdict))
    return stream


def test_it_is_raised_after_the_dwell_and_cleared_after_its_own() -> None:
    stream: Stream = [(float(t), "bad") for t in range(5)] + [(float(t), "good") for t in range(5, 12)]
    assert edges_of(latch(), stream) == [(2.0, "raised"), (8.0, "cleared")]


def test_without_dwell_one_verdict_is_enough() -> None:
    assert edges_of(latch(0.0, 0.0), [(0.0, "bad"), (1.0, "good")]) == [(0.0, "raised"), (1.0, "cleared")]


@pytest.mark.parametrize("interruption", ["between", "good"])
def test_an_interruption_starts_the_dwell_anew(interruption: Verdict) -> None:
    stream: Stream = [(0.0, "bad"), (1.9, interruption), (2.0, "bad"), (3.9, "bad"), (4.0, "bad")]
    assert edges_of(latch(), stream) == [(4.0, "raised")]


def test_silence_is_no_evidence() -> None:
    stream: Stream = [(0.0, "bad"), (5.1, "bad"), (7.0, "bad"), (7.1, "bad")]
    assert edges_of(latch(), stream) == [(7.1, "raised")]


def test_time_that_runs_backwards_is_no_evidence_and_changes_nothing() -> None:
    machine = latch()
    assert edges_of(machine, [(0.0, "bad"), (2.0, "bad"), (1.0, "good"), (-50.0, "good")]) == [
        (2.0, "raised")
    ]
    assert machine.raised
    assert edges_of(machine, [(-49.0, "good"), (-47.0, "good")]) == [(-47.0, "cleared")]


@given(STREAMS, DWELLS_S, DWELLS_S)
def test_edges_come_strictly_in_turn(
    steps: list[tuple[float, Verdict]], raise_after_s: float, clear_after_s: float
) -> None:
    edges = [edge for _, edge in edges_of(latch(raise_after_s, clear_after_s), timed(steps))]
    assert edges == ["raised", "cleared"] * (len(edges) // 2) + ["raised"] * (len(edges) % 2)


@given(STREAMS, st.booleans())
def test_inside_the_band_nothing_ever_changes(steps: list[tuple[float, Verdict]], raised: bool) -> None:
    machine = Latch(raise_after_s=0.0, clear_after_s=0.0, longest_gap_s=5.0, raised=raised)
    assert edges_of(machine, [(time_s, "between") for time_s, _ in timed(steps)]) == []
    assert machine.raised is raised


@given(STREAMS, DWELLS_S, DWELLS_S, st.booleans())
def test_every_edge_rests_on_unbroken_verdicts_for_the_whole_dwell(
    steps: list[tuple[float, Verdict]], raise_after_s: float, clear_after_s: float, raised: bool
) -> None:
    gap_s = 5.0
    machine = Latch(
        raise_after_s=raise_after_s, clear_after_s=clear_after_s, longest_gap_s=gap_s, raised=raised
    )
    stream = timed(steps)
    for number, (time_s, verdict) in enumerate(stream):
        edge = machine.update(time_s, verdict)
        if edge is None:
            continue
        wanted, dwell_s = ("bad", raise_after_s) if edge == "raised" else ("good", clear_after_s)
        began_s = math.nan if machine.began_s is None else machine.began_s
        assert time_s - began_s >= dwell_s
        first = number
        while stream[first][0] != began_s:
            first -= 1
        run = stream[first : number + 1]
        assert all(each == wanted for _, each in run)
        assert all(0 <= late[0] - early[0] <= gap_s for early, late in itertools.pairwise(run))


@given(STREAMS)
def test_edges_are_at_least_a_dwell_apart_while_time_advances(steps: list[tuple[float, Verdict]]) -> None:
    stream = timed([(abs(step_s), verdict) for step_s, verdict in steps])
    edges = edges_of(latch(2.0, 3.0), stream)
    for (early_s, _), (late_s, edge) in itertools.pairwise(edges):
        assert late_s - early_s >= (3.0 if edge == "cleared" else 2.0)
