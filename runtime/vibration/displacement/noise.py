"""Luma of a frame, and the estimate of its noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.frames.colour import BT601_LUMA

Luma = NDArray[np.float64]

ROUNDING_SIGMA = 1 / math.sqrt(12)
"""Standard deviation, in grey levels, of the error of rounding to 8 bit."""
_BT601 = np.array(BT601_LUMA)


def luma(rgb: NDArray[np.uint8]) -> Luma:
    """Luma after ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, of (H, W, 3; RGB): (H, W) float64, 0 to 255."""
    weighted: Luma = rgb @ _BT601
    return weighted


def as_luma(picture: NDArray[Any]) -> Luma:
    """Luma of (H, W, 3; RGB), or luma (H, W) as it is: (H, W) float64, 0 to 255."""
    if picture.ndim == 3:
        return luma(picture)
    as_float: Luma = picture.astype(np.float64, copy=False)
    return as_float


def rounding_sigma(bit_depth: int = 8) -> float:
    """Standard deviation, in grey levels of 0 to 255, of the error of rounding to so many bits."""
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
