"""Histograms that grow: exact, whatever the order, and whether counted in one go or merged."""

from __future__ import annotations

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.calibration.scales.scales import BINS, Histogram

VALUES = arrays.arrays(
    np.float32, st.integers(1, 40), elements=st.floats(-(2.0**20), 2.0**20, width=32, allow_subnormal=False)
)


def of(*parts: np.ndarray) -> Histogram:
    histogram = Histogram.empty()
    for part in parts:
        histogram.add(part)
    return histogram


def same(a: Histogram, b: Histogram) -> bool:
    return a.width == b.width and a.largest == b.largest and np.array_equal(a.counts, b.counts)


@settings(max_examples=40, deadline=None)
@given(VALUES, VALUES)
def test_order_and_merging_do_not_matter(first: np.ndarray, second: np.ndarray) -> None:
    together = of(np.concatenate((first, second)))
    assert same(of(first, second), together)
    assert same(of(second, first), together)
    assert same(of(first).merged(of(second)), together)
    assert same(of(second).merged(of(first)), together)


@settings(max_examples=40, deadline=None)
@given(VALUES)
def test_it_counts_what_numpy_counts(values: np.ndarray) -> None:
    histogram = of(values)
    expected, _ = np.histogram(np.abs(values).astype(np.float64), BINS, (0, BINS * histogram.width))
    np.testing.assert_array_equal(histogram.counts, expected)
    assert histogram.total == len(values)
    assert histogram.largest == np.abs(values).max()
    # At least half of the bins are in use: the resolution is known.
    assert (
        histogram.largest == 0
        or histogram.largest >= BINS * histogram.width / 2
        or histogram.width == 2.0**-24
    )


def test_merging_changes_neither() -> None:
    a, b = of(np.ones(3, np.float32)), of(np.full(2, 1e3, np.float32))
    a.merged(b)
    assert same(a, of(np.ones(3, np.float32)))
    assert same(b, of(np.full(2, 1e3, np.float32)))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_not_counted(bad: float) -> None:
    with pytest.raises(ValueError, match="not finite"):
        of(np.array([1.0, bad], np.float32))


def test_nothing_is_nothing() -> None:
    assert of(np.empty((0, 3), np.float32)).total == 0
