"""Each method's range, where the right one is known."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.calibration.scales.scales import RANGE_OF_THE_SILENT, Histogram, scale_of
from tremorscope.export.graphs.qdq import LEVELS
from tremorscope.runtime.engines.interface.manifest import ScaleMethod

METHODS: tuple[ScaleMethod, ...] = ("mse", "entropy", "percentile", "minmax")


def range_of(values: np.ndarray, method: ScaleMethod) -> float:
    histogram = Histogram.empty()
    histogram.add(values.astype(np.float32))
    return LEVELS * scale_of(histogram, method)


def test_minmax_takes_the_largest() -> None:
    assert range_of(np.array([0.5, -3.0, 2.0]), "minmax") == pytest.approx(3.0)


def test_percentile_leaves_out_one_in_ten_thousand_of_what_is_not_zero() -> None:
    values = np.concatenate((np.linspace(0.001, 1.0, 99_995), np.full(5, 50.0), np.zeros(10**6)))
    assert range_of(values, "percentile") == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("tail", [0, 3e-5, 1e-3])
def test_mse_is_the_range_that_a_search_over_the_values_finds(tail: float) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 200_000)
    values[: int(tail * len(values))] *= 12

    def error(largest: float) -> float:
        step = largest / LEVELS
        return float(((np.clip(np.rint(values / step), -LEVELS, LEVELS) * step - values) ** 2).mean())

    candidates = np.abs(values).max() * np.linspace(0.05, 1.0, 200)
    best = min(map(error, candidates))
    assert error(range_of(values, "mse")) < 1.03 * best


def test_entropy_cuts_off_an_outlier_and_keeps_what_is_even() -> None:
    rng = np.random.default_rng(0)
    bell = rng.normal(0, 1, 200_000)
    assert range_of(np.append(bell, 100.0), "entropy") < 10
    assert range_of(rng.uniform(-1, 1, 200_000), "entropy") > 0.9


@pytest.mark.parametrize("method", METHODS)
def test_no_range_is_beyond_the_largest_value_and_all_grow_with_the_values(method: ScaleMethod) -> None:
    values = np.random.default_rng(1).laplace(0, 1, 50_000)
    found = range_of(values, method)
    assert 0 < found <= np.abs(values).max() * 1.0001
    assert range_of(8 * values, method) == pytest.approx(8 * found, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_what_was_always_zero_has_some_range(method: ScaleMethod) -> None:
    assert range_of(np.zeros(10), method) == pytest.approx(RANGE_OF_THE_SILENT)
