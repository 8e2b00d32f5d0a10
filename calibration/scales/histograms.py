"""Histograms of magnitudes with growing range: one pass, fixed memory, independent of the order of values.

The bins' width is a power of two. It doubles when a value lies beyond the last bin, by adding neighbouring counts. The
result equals a histogram counted at the final width from the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 4096
_FINEST_WIDTH = 2.0**-24


@dataclass
class Histogram:
    """Counts of magnitudes in bins of equal width, from zero up."""

    counts: NDArray[np.int64]
    """BINS counts; bin i counts magnitudes from i to i + 1 widths."""
    width: float = _FINEST_WIDTH
    largest: float = 0.0

    @classmethod
    def empty(cls) -> Histogram:
        """A histogram without counts."""
        return cls(np.zeros(BINS, np.int64))

    @property
    def total(self) -> int:
        """Number of values counted."""
        return int(self.counts.sum())

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the magnitudes of values of any shape.

        Raises:
            ValueError: one of them is not finite.
        """
        if not values.size:
            return
        magnitudes = np.abs(values, dtype=np.float32).ravel()
        largest = float(magnitudes.max())
        if not math.isfinite(largest):
            raise ValueError("a value that is not finite")
        self.largest = max(self.largest, largest)
        self._widen_to(largest)
        # Exact: the width is a power of two.
        bins = (magnitudes * np.float32(1.0 / self.width)).astype(np.int32)
        self.counts += np.bincount(bins, minlength=BINS)

    def merged(self, other: Histogram) -> Histogram:
        """Sum of two histograms; neither is changed."""
        both = Histogram(self.counts.copy(), self.width, max(self.largest, other.largest))
        counts, width = other.counts, other.width
        while width < both.width:
            counts, width = _halved(counts), 2.0 * width
        while both.width < width:
            both._widen()
        both.counts += counts
        return both

    def _widen_to(self, magnitude: float) -> None:
        while magnitude >= BINS * self.width:
            self._widen()

    def _widen(self) -> None:
        self.counts = _halved(self.counts)
        self.width *= 2.0


def _halved(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same counts in bins of twice the width, the upper half empty."""
    pairs: NDArray[np.int64] = counts.reshape(-1, 2).sum(axis=1)
    return np.concatenate((pairs, np.zeros_like(pairs)))
