"""Comparison of a camera's pictures: repetitions, and agreement of two ways of reading them."""

from __future__ import annotations

import zlib
from collections import deque

import numpy as np
from numpy.typing import NDArray

_ROWS = 8
"""Distance of the rows that are compared: noise in any of them makes pictures differ."""
_REMEMBERED = 16
"""Pictures that are remembered, more than the buffers of any camera: a stale buffer comes again at its turn."""
_GRID = 8
_LEAST_GAIN, _MOST_GAIN = 0.5, 2.0
_MOST_OFF = 5.0
_AGREEING = 75


class Repetitions:
    """Counter of pictures that are equal to the byte to an earlier one, which a sensor's noise excludes."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)

    def look(self, pixels: NDArray[np.uint8]) -> None:
        """Take a picture, u8[H, W, 3]."""
        digest = zlib.crc32(np.ascontiguousarray(pixels[::_ROWS]).data)
        self.count += digest in self._seen
        self._seen.append(digest)


def off_by(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Difference of two pictures, u8[H, W, 3], of a scene, in grey levels of a region's mean.

    It is the third quartile over 8 by 8 regions, so that a passing object may be in one of the pictures; a change of
    light or exposure between them, by a factor of two at most, is compensated.
    """
    means, others = _means(one), _means(other)
    gain = float(np.clip(np.median(others / np.maximum(means, 1.0)), _LEAST_GAIN, _MOST_GAIN))
    # What was clipped in the brighter picture does not follow the gain.
    off = np.abs(np.minimum(gain * means, 255.0) - others).max(axis=-1)  # (8, 8)
    return float(np.percentile(off, _AGREEING))


def agree(off: float) -> bool:
    """True if two pictures of this difference show the same scene."""
    return off <= _MOST_OFF


def wanted() -> str:
    """Human-readable limit of `agree`."""
    return f"at most {_MOST_OFF:g} grey levels in three regions of four"


def _means(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean of each region and channel, f64[8, 8, 3]."""
    rows = [
        np.stack([part.mean(axis=(0, 1), dtype=np.float64) for part in np.array_split(row, _GRID, axis=1)])
        for row in np.array_split(pixels, _GRID, axis=0)
    ]
    return np.stack(rows)
