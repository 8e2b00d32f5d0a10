"""Histograms of a tensor's values, and the scales of INT8 that are chosen from them.

The bins' width is a power of two. It doubles when a value lies beyond the last bin, by adding neighbouring counts. The
result equals a histogram counted at the final width from the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.export.graphs.qdq import LEVELS
from tremorscope.runtime.engines.interface.manifest import ScaleMethod

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
    pairs = counts[::2] + counts[1::2]
    return np.concatenate((pairs, np.zeros_like(pairs)))


SHARE_IN_RANGE = 0.9999
"""Share of the non-zero values within the range, for the method ``percentile``."""
RANGE_OF_THE_SILENT = 1.0
"""Range of a tensor that was always zero in the calibration."""
_FEWEST_BINS = LEVELS + 1


def scale_of(histogram: Histogram, method: ScaleMethod) -> float:
    """Size of one INT8 step: the range that the method chooses, divided by its 127 levels."""
    if histogram.largest == 0.0:
        return RANGE_OF_THE_SILENT / LEVELS
    return min(_RANGES[method](histogram), histogram.largest) / LEVELS


def _range_to_the_largest(histogram: Histogram) -> float:
    return histogram.largest


def _range_of_most(histogram: Histogram) -> float:
    """Range that holds `SHARE_IN_RANGE` of the non-zero values."""
    counts = histogram.counts.astype(np.float64)
    counts[0] = 0.0  # zeros, and what 8 bits cannot tell from them
    if not counts.any():
        return histogram.largest
    share = np.cumsum(counts) / counts.sum()
    return float((np.searchsorted(share, SHARE_IN_RANGE) + 1) * histogram.width)


def _range_of_least_divergence(histogram: Histogram) -> float:
    """Range whose 128 levels have the least Kullback-Leibler divergence from the values.

    After Migacz, "8-bit inference with TensorRT", GPU Technology Conference 2017.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]  # zeros carry no information on the range, and ReLUs leave many
    used = int(np.flatnonzero(counts)[-1]) + 1
    candidates = range(_FEWEST_BINS, max(used, _FEWEST_BINS) + 1, max(1, used // 512))
    best = min(candidates, key=lambda bins: _divergence(counts, bins))
    return best * histogram.width


def _divergence(counts: NDArray[np.float64], bins: int) -> float:
    """Kullback-Leibler divergence of 128 levels over the first bins from the values, clipped to them."""
    inside = counts[:bins]
    reference = inside.copy()
    reference[-1] += counts[bins:].sum()  # what is beyond is shown as the end of the range
    level_of_bin = np.arange(bins) * _FEWEST_BINS // bins
    filled = inside > 0
    in_level = np.bincount(level_of_bin, inside, _FEWEST_BINS)
    bins_filled = np.bincount(level_of_bin, filled, _FEWEST_BINS)
    shown = np.where(filled, (in_level / np.maximum(bins_filled, 1))[level_of_bin], 0.0)
    p, q = reference / reference.sum(), shown / max(shown.sum(), 1e-300)
    held = p > 0
    # The floor keeps the divergence finite where only clipped values fill the last bin.
    return float((p[held] * np.log(p[held] / np.maximum(q[held], 1e-12))).sum())


def _range_of_least_error(histogram: Histogram) -> float:
    """Range of the least mean square error of rounding and clipping together."""
    counts, width = histogram.counts, histogram.width
    centres = (np.arange(len(counts)) + 0.5) * width
    filled = np.flatnonzero(counts)
    centres, counts = centres[filled], counts[filled]
    candidates = histogram.largest * np.linspace(0.15, 1.0, 171)

    def error(largest: float) -> float:
        step = largest / LEVELS
        clipped = np.maximum(centres - largest, 0.0)
        # The uniform rounding error step^2 / 12: a level may be narrower than a bin, whose values are not resolved.
        return float(counts @ (clipped**2 + np.where(clipped > 0, 0.0, step**2 / 12)))

    return float(min(candidates, key=error))


_RANGES: dict[ScaleMethod, Callable[[Histogram], float]] = {
    "mse": _range_of_least_error,
    "entropy": _range_of_least_divergence,
    "percentile": _range_of_most,
    "minmax": _range_to_the_largest,
}
