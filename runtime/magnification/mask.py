"""Mask of the regions to magnify, over the cells of the shape representation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region


def cell_mask(
    regions: Sequence[Region], *, width_px: int, height_px: int, cell_px: int, feather_px: float
) -> NDArray[np.float32]:
    """Mask of regions, f32[rows, columns]: 1 inside, falling smoothly to 0 within ``feather_px`` around them.

    Without regions all of the picture is magnified.

    Raises:
        OptionFault: a region is not within the picture, or the feather is negative.
    """
    rows, columns = (-(-side // cell_px) for side in (height_px, width_px))
    if not regions:
        return np.ones((rows, columns), np.float32)
    if not 0 <= feather_px < float("inf"):
        raise OptionFault(
            f"feather of {feather_px:g} px: not a finite number from 0", remedy="give 0 px or more"
        )
    y_px, x_px = (cell_px * np.arange(0.5, count) for count in (rows, columns))
    mask = np.zeros((rows, columns), np.float32)
    for region in regions:
        region.check_inside(width_px, height_px)
        away_x_px = _outside(x_px, region.x_px, region.x_px + region.width_px)
        away_y_px = _outside(y_px, region.y_px, region.y_px + region.height_px)
        away_px = np.hypot(away_x_px, away_y_px[:, None])
        share = np.clip(away_px / max(feather_px, 1e-6), 0, 1)
        np.maximum(mask, 0.5 + 0.5 * np.cos(np.pi * share), out=mask, casting="same_kind")
    return mask


def _outside(position_px: NDArray[np.floating], first_px: float, last_px: float) -> NDArray[np.floating]:
    """Distance of positions from a range in px; 0 within it."""
    away: NDArray[np.floating] = np.maximum(0.0, np.maximum(first_px - position_px, position_px - last_px))
    return away
