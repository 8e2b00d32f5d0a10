"""Reasons why a region cannot be followed, each with its remedy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import as_luma

Values = NDArray[np.float64]

_BLURRED = 0.6
"""Sharpness of the reference, as a share of that of the other frames, below which it is told to be blurred."""
_BLOCK_PX = 8
_UNEVEN_LIGHT = 0.08
"""Change of brightness across a region, as a share of its brightness, that no displacement explains."""


def why_not_followed(reference: ArrayLike, region: Region, frames: Sequence[ArrayLike]) -> tuple[str, str]:
    """Fault and remedy for a region whose content most frames do not show as the reference does."""
    first = _crop(reference, region)
    others = [_crop(frame, region) for frame in frames]
    change = float(np.median([_unevenness(first, each) for each in others]))
    if change > _UNEVEN_LIGHT:
        return (
            f"the light across it changes by {change:.0%} from frame to frame: lamps behind a rolling shutter, or "
            "moving shadows",
            "film with a shutter time of whole periods of the light, e.g. 1/50 or 1/100 s at mains of 50 Hz, or "
            "choose a smaller region",
        )
    if sharpness(first) < _BLURRED * float(np.median([sharpness(each) for each in others])):
        return (
            "the reference frame is blurred there, and later frames are not",
            "take a sharp reference with --reference auto, or begin later with --start",
        )
    return (
        "its content does not hold still enough to be followed: most frames do not show it anywhere",
        "choose a region that one rigid part of the structure fills, or the part of the clip in which it is seen, "
        "with --start and --end",
    )


def sharpness(grey: Values) -> float:
    """Typical slope of brightness, in grey levels a pixel, once noise is smoothed away."""
    smooth = ndimage.gaussian_filter(grey, 1.0)
    return float(np.sqrt(np.mean(np.add(*(each**2 for each in np.gradient(smooth))))))


def _crop(picture: ArrayLike, region: Region) -> Values:
    return as_luma(np.asarray(picture)[region.slices])


def _unevenness(first: Values, other: Values) -> float:
    """Change of brightness of rows and columns of blocks against the whole region's, as a share of its brightness."""
    ratio = ndimage.uniform_filter(other, _BLOCK_PX) / np.maximum(
        ndimage.uniform_filter(first, _BLOCK_PX), 1.0
    )
    return float(max(ratio.mean(axis=1).std(), ratio.mean(axis=0).std()))
