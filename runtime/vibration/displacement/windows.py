"""Windows of a frame: their luma, its noise, and their shift by a fraction of a pixel, exact enough to leave
displacement unbiased.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray
from scipy import ndimage, special

from tremorscope.runtime.frames.frame import BT601_LUMA

Luma = NDArray[np.float64]

_TAPS = 20
MARGIN_PX = _TAPS // 2
_KAISER_BETA = 7.0
"""Width and window of the resampling kernel: up to 0.38 cycles/px it misplaces nothing by over 0.0002 px."""
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


def _slope_kernel() -> Luma:
    """Derivative of what `_kernel` makes of a picture, by the shift, at none."""
    wave = _ALTERNATING * special.i0(_KAISER_BETA * np.sqrt(1 - (_TAP_POSITIONS / MARGIN_PX) ** 2))
    kernel = np.divide(-wave, _TAP_POSITIONS, out=np.zeros(_TAPS + 1), where=_TAP_POSITIONS != 0)
    slope: Luma = kernel / (kernel @ _TAP_POSITIONS)
    return slope


SLOPE_KERNEL = _slope_kernel()
"""Slope of a picture at a pixel, as taps along an axis: that of the resampling kernel, as exact as that."""
ROUNDING_SIGMA = 1 / math.sqrt(12)
"""Standard deviation, in grey levels, of the error of rounding to 8 bit."""
_BT601 = np.array(BT601_LUMA)


def luma(rgb: NDArray[np.uint8]) -> Luma:
    """Luma after ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, of (H, W, 3; RGB): (H, W) float64, 0 to 255.

    >>> luma(np.array([[[255, 255, 255], [255, 0, 0]]], dtype=np.uint8)).round(1)
    array([[255. ,  76.2]])
    >>> luma(np.zeros((48, 64, 3), np.uint8)).shape
    (48, 64)
    """
    weighted: Luma = rgb @ _BT601
    return weighted


def as_luma(picture: NDArray[Any]) -> Luma:
    """Luma of (H, W, 3; RGB), or luma (H, W) as it is: (H, W) float64, 0 to 255."""
    if picture.ndim == 3:
        return luma(picture)
    as_float: Luma = picture.astype(np.float64, copy=False)
    return as_float


def rounding_sigma(bit_depth: int = 8) -> float:
    """Standard deviation, in grey levels of 0 to 255, of the error of rounding to so many bits.

    >>> round(rounding_sigma(), 2), round(rounding_sigma(12), 3)
    (0.29, 0.018)
    """
    return ROUNDING_SIGMA * 2.0 ** (8 - bit_depth)


def estimate_noise_sigma(picture: Luma, bit_depth: int = 8) -> float:
    """Standard deviation of the noise in a picture (H, W), in grey levels, from its flattest parts.

    The difference of two Laplacians cancels edges and shading (Immerkaer, "Fast Noise Variance Estimation",
    CVIU 64(2), 1996). The estimate is the lowest decile of its deviation over blocks of 16x16, and at least
    the noise of rounding, 0.29 grey levels for 8 bits. Texture everywhere makes it too high, which is the safe side.
    Video compression removes noise where the picture is flat and adds its own elsewhere, which makes it too low.
    """
    least = rounding_sigma(bit_depth)
    mask = np.array([1.0, -2.0, 1.0])
    response = (
        ndimage.correlate1d(
            ndimage.correlate1d(picture.astype(np.float64, copy=False), mask, axis=0), mask, axis=1
        )
        / 6
    )
    rows, columns = (16 * (side // 16) for side in picture.shape)
    if rows == 0 or columns == 0:
        return max(float(response.std()), least)
    blocks = response[:rows, :columns].reshape(rows // 16, 16, columns // 16, 16)
    sigmas = np.sqrt((blocks**2).mean(axis=(1, 3))).ravel()
    # A block that is clipped to black or white has lost its noise.
    exposed = sigmas[sigmas > 1e-3 * 2.0 ** (8 - bit_depth)]
    if exposed.size == 0:
        return least
    return max(float(np.quantile(exposed, 0.1)), least)
