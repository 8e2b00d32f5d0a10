"""Shift of a window by a fraction of a pixel, exact enough to leave displacement unbiased."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from scipy import special

Luma = NDArray[np.float64]

_TAPS = 10
MARGIN_PX = _TAPS // 2
_KAISER_BETA = 8.0
"""Width and window of the resampling kernel: up to 0.25 cycles/px it misplaces nothing by over 0.0004 px."""
LARGEST_SHIFT_PX = 0.6
"""Largest shift: beyond it the caller moves the window by a whole pixel, as the kernel must stay within its taps."""


class Resampler:
    """Resampler of a window: a windowed sinc along y and x, as two banded matrices."""

    def __init__(self, rows: int, columns: int) -> None:
        self._down, self._down_band = _banded(rows)
        self._across, self._across_band = _banded(columns)

    def at(self, window: Luma, x_px: float, y_px: float) -> Luma:
        """The window moved by (-x_px, -y_px), flattened; ``window`` has a margin of `MARGIN_PX` on every side."""
        self._down_band[:] = _kernel(y_px)
        self._across_band[:] = _kernel(x_px)
        resampled: Luma = self._down @ window @ self._across.T
        return resampled.ravel()


def _banded(rows: int) -> tuple[Luma, Luma]:
    """A matrix of zeros, and a view of the band along its diagonal that holds one kernel a row."""
    matrix = np.zeros((rows, rows + _TAPS))
    down, right = matrix.strides
    return matrix, as_strided(matrix, (rows, _TAPS + 1), (down + right, right))


_TAP_POSITIONS = np.arange(_TAPS + 1, dtype=np.float64) - MARGIN_PX
_UNSHIFTED = np.where(_TAP_POSITIONS == 0, 1.0, 0.0)
_ALTERNATING = np.where(_TAP_POSITIONS % 2 == 0, 1.0, -1.0)


def _kernel(shift_px: float) -> Luma:
    """Kaiser-windowed sinc around ``shift_px``, sampled at the taps, of sum 1."""
    if abs(shift_px) < 1e-6:
        return _UNSHIFTED
    offsets = _TAP_POSITIONS - shift_px
    inside = np.maximum(1 - (offsets / (MARGIN_PX)) ** 2, 0)
    # sin(pi (k - s)) is (-1)^(k+1) sin(pi s) for whole k: the alternating sign is all that is left of it.
    kernel: Luma = _ALTERNATING / offsets * special.i0(_KAISER_BETA * np.sqrt(inside)) * (inside > 0)
    kernel /= kernel.sum()
    return kernel
