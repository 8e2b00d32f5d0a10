"""Whether a camera's pictures are its own: none comes twice, and two ways of fetching them show the same scene."""

from __future__ import annotations

import zlib
from collections import deque

import numpy as np
from numpy.typing import NDArray

_ROWS = 8
"""One row in so many is looked at: enough, for noise is in every one."""
_REMEMBERED = 16
"""More than the buffers of any camera: a picture that stays in one of them comes again when its turn does."""
_GRID = 8
_LEAST_GAIN, _MOST_GAIN = 0.5, 2.0
_MOST_OFF = 5.0
_AGREEING = 75


class Repetitions:
    """Counts pictures that are equal to the byte to one shortly before. A sensor's noise lets none be."""

    def __init__(self) -> None:
        self.count = 0
        self._seen: deque[int] = deque(maxlen=_REMEMBERED)

    def look(self, pixels: NDArray[np.uint8]) -> None:
        """Look at a picture, u8[H, W, 3]."""
        digest = zlib.crc32(np.ascontiguousarray(pixels[::_ROWS]).data)
        self.count += digest in self._seen
        self._seen.append(digest)


def off_by(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """How far two pictures, u8[H, W, 3], of a scene are apart, in grey levels of a region's mean.

    Of 8 by 8 regions three in four differ by less, so that whatever passes by may be in one of the pictures; and the
    light may have changed between them, or the exposure, by a factor of two at most.
    """
    means, others = _means(one), _means(other)
    gain = float(np.clip(np.median(others / np.maximum(means, 1.0)), _LEAST_GAIN, _MOST_GAIN))
    # What was clipped in the brighter picture does not follow the gain.
    off = np.abs(np.minimum(gain * means, 255.0) - others).max(axis=-1)  # (8, 8)
    return float(np.percentile(off, _AGREEING))


def agree(off: float) -> bool:
    """Whether two pictures that are so far apart show the same."""
    return off <= _MOST_OFF


def wanted() -> str:
    """What `agree` takes, for a person."""
    return f"at most {_MOST_OFF:g} grey levels in three regions of four"


def _means(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of each region and channel, f64[8, 8, 3]."""
    rows = [
        np.stack([part.mean(axis=(0, 1), dtype=np.float64) for part in np.array_split(row, _GRID, axis=1)])
        for row in np.array_split(pixels, _GRID, axis=0)
    ]
    return np.stack(rows)
