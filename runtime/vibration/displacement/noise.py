"""Luma of a frame, and the estimate of its noise."""

from __future__ import annotations

import math

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


def estimate_noise_sigma(picture: Luma) -> float:
    """Standard deviation of the noise in a picture (H, W), in grey levels, from its flattest parts.

    The difference of two Laplacians cancels edges and shading (Immerkaer, "Fast Noise Variance Estimation",
    CVIU 64(2), 1996). The estimate is the lowest decile of its deviation over blocks of 16x16, and at least
    the 0.29 grey levels of rounding to 8 bit. Texture everywhere makes it too high, which is the safe side.
    Video compression removes noise where the picture is flat and adds its own elsewhere, which makes it too low.
    """
    mask = np.array([1.0, -2.0, 1.0])
    response = ndimage.correlate1d(ndimage.correlate1d(picture, mask, axis=0), mask, axis=1) / 6
    rows, columns = (16 * (side // 16) for side in picture.shape)
    if rows == 0 or columns == 0:
        return max(float(response.std()), ROUNDING_SIGMA)
    blocks = response[:rows, :columns].reshape(rows // 16, 16, columns // 16, 16)
    sigmas = np.sqrt((blocks**2).mean(axis=(1, 3))).ravel()
    # A block that is clipped to black or white has lost its noise.
    exposed = sigmas[sigmas > 1e-3]
    if exposed.size == 0:
        return ROUNDING_SIGMA
    return max(float(np.quantile(exposed, 0.1)), ROUNDING_SIGMA)
