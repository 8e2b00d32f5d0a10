"""Percentiles of months of frames within one per cent, in a few kilobytes."""

from __future__ import annotations

import threading
import tracemalloc

import numpy as np
import pytest

from tremorscope.runtime.frames.stage_times import LatencyHistogram, LatencySummary, StageLatencies


@pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.95, 0.99, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_percentiles_are_within_one_per_cent(part: float, seed: int) -> None:
    chance = np.random.default_rng(seed)
    times_s = np.exp(chance.normal(np.log(5e-3), 1.5, 5000)).clip(2e-6, 90)
    histogram = LatencyHistogram()
    for each in times_s:
        histogram.add(float(each))
    truth_s = float(np.quantile(times_s, part, method="inverted_cdf"))
    assert histogram.quantile_s(part) == pytest.approx(truth_s, rel=0.0101)


def test_every_time_in_the_range_comes_back_within_one_per_cent() -> None:
    for each in np.geomspace(1.02e-6, 99, 3000):
        histogram = LatencyHistogram()
        histogram.add(float(each))
        histogram.add(1e4)  # so that the maximum does not help
        assert histogram.quantile_s(0.5) == pytest.approx(each, rel=0.0101)


def test_times_out_of_range_are_counted_and_the_maximum_is_exact() -> None:
    histogram = LatencyHistogram()
    for each in (-1.0, 0.0, 1e-9, 2.0, 5000.0):
        histogram.add(each)
    summary = histogram.summary()
    assert (summary.count, summary.max_ms) == (5, 5_000_000.0)
    assert histogram.quantile_s(0.6) <= 1.02e-6


def test_nothing_was_timed() -> None:
    assert LatencyHistogram().summary() == LatencySummary(0, 0.0, 0.0, 0.0, 0.0)
    with pytest.raises(ValueError, match="not within 0 to 1"):
        LatencyHistogram().quantile_s(1.5)


def test_stages_are_apart_and_fixed() -> None:
    stages = StageLatencies(["capture", "step", "output"])
    for number in range(1, 101):
        stages.add("step", number * 1e-3)
        stages.add("capture", 2e-3)
    summaries = stages.summaries()
    assert list(summaries) == ["capture", "step"]
    assert summaries["step"].median_ms == pytest.approx(50, rel=0.0101)
    assert summaries["step"].p95_ms == pytest.approx(95, rel=0.0101)
    assert summaries["step"].p99_ms == pytest.approx(99, rel=0.0101)
    assert summaries["step"].max_ms == 100.0
    with pytest.raises(KeyError):
        stages.add("stp", 1.0)
    stages.clear()
    assert stages.summaries() == {}


@pytest.mark.alone
def test_memory_is_constant() -> None:
    histogram = LatencyHistogram()
    assert histogram.nbytes < 8000
    histogram.add(1e-3)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(10_000):
            histogram.add(1e-6 * number)
        assert tracemalloc.get_traced_memory()[0] - before < 500
    finally:
        tracemalloc.stop()


def test_mean_and_spread_are_exact() -> None:
    times_s = np.random.default_rng(1).uniform(1e-3, 9e-3, 4000)
    histogram = LatencyHistogram()
    for each in times_s:
        histogram.add(float(each))
    summary = histogram.summary()
    assert summary.mean_ms == pytest.approx(1e3 * times_s.mean(), rel=1e-9)
    assert summary.jitter_ms == pytest.approx(1e3 * times_s.std(), rel=1e-9)
    histogram.clear()
    histogram.add(2e-3)
    assert (histogram.summary().mean_ms, histogram.summary().jitter_ms) == (2.0, 0.0)


def test_what_is_drained_by_one_thread_while_another_adds_is_told_exactly_once() -> None:
    stages, drained, done = StageLatencies(["step"]), 0, threading.Event()

    def add() -> None:
        for _ in range(20_000):
            stages.add("step", 1e-3)
        done.set()

    adding = threading.Thread(target=add)
    adding.start()
    while not done.is_set():
        drained += sum(each.count for each in stages.drain().values())
    adding.join()
    drained += sum(each.count for each in stages.drain().values())
    assert drained == 20_000
    assert stages.drain() == {}
