"""From the histogram of a tensor to the size of its INT8 step, by one of the usual methods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.scales.histograms import Histogram
from tremorscope.export.graphs.qdq import LEVELS
from tremorscope.runtime.engines.interface.bundle import ScaleMethod

SHARE_IN_RANGE = 0.9999
"""Of the values that are not zero, for the method ``percentile``."""
RANGE_OF_THE_SILENT = 1.0
"""Of a tensor that never left zero: something, since it may yet do so."""
_FEWEST_BINS = LEVELS + 1


def scale_of(histogram: Histogram, method: ScaleMethod) -> float:
    """Size of one INT8 step: the range that the method chooses, divided by its 127 levels."""
    if histogram.largest == 0.0:
        return RANGE_OF_THE_SILENT / LEVELS
    return min(_RANGES[method](histogram), histogram.largest) / LEVELS


def _range_to_the_largest(histogram: Histogram) -> float:
    return histogram.largest


def _range_of_most(histogram: Histogram) -> float:
    """Within it lies all but one value in 10,000 of those that are not zero."""
    counts = histogram.counts.astype(np.float64)
    counts[0] = 0.0  # zeros, and what 8 bits cannot tell from them
    if not counts.any():
        return histogram.largest
    share = np.cumsum(counts) / counts.sum()
    return float((np.searchsorted(share, SHARE_IN_RANGE) + 1) * histogram.width)


def _range_of_least_divergence(histogram: Histogram) -> float:
    """The range whose 128 levels tell least otherwise than the values, by the Kullback-Leibler divergence.

    After Migacz, "8-bit inference with TensorRT", GPU Technology Conference 2017.
    """
    counts = histogram.counts.astype(np.float64)
    counts[0] = counts[1]  # zeros say nothing of the range, and ReLUs leave many
    used = int(np.flatnonzero(counts)[-1]) + 1
    candidates = range(_FEWEST_BINS, max(used, _FEWEST_BINS) + 1, max(1, used // 512))
    best = min(candidates, key=lambda bins: _divergence(counts, bins))
    return best * histogram.width


def _divergence(counts: NDArray[np.float64], bins: int) -> float:
    """Of the values that 128 levels over the first bins stand for, from the values, clipped to them."""
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
    # A bin that only what lies beyond has filled is shown as nothing: the divergence is large, yet finite.
    return float((p[held] * np.log(p[held] / np.maximum(q[held], 1e-12))).sum())


def _range_of_least_error(histogram: Histogram) -> float:
    """The range at which rounding and clipping cost least together, in squares."""
    counts, width = histogram.counts, histogram.width
    centres = (np.arange(len(counts)) + 0.5) * width
    filled = np.flatnonzero(counts)
    centres, counts = centres[filled], counts[filled]
    candidates = histogram.largest * np.linspace(0.15, 1.0, 171)

    def error(largest: float) -> float:
        step = largest / LEVELS
        clipped = np.maximum(centres - largest, 0.0)
        # Where a level is narrower than a bin, the bin's centre says nothing of where values lie between levels.
        return float(counts @ (clipped**2 + np.where(clipped > 0, 0.0, step**2 / 12)))

    return float(min(candidates, key=error))


_RANGES: dict[ScaleMethod, Callable[[Histogram], float]] = {
    "mse": _range_of_least_error,
    "entropy": _range_of_least_divergence,
    "percentile": _range_of_most,
    "minmax": _range_to_the_largest,
}
