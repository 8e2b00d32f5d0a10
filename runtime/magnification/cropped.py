"""Magnification of a part of the picture: of the middle alone, in less time in proportion to its area, or of
regions, by a mask over the cells of the shape representation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import Allocator, CopyAccount, FrameRing, copy_pixels
from tremorscope.runtime.magnification.magnifier import FrameMagnifier
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.regions import Region

_GRID_PX = 16
_LEAST_PX = 64


def middle_part(wanted: Magnification, size: tuple[int, int], fraction: float) -> Region:
    """The magnified area, whole or the box around its regions, scaled by ``fraction`` about its centre.

    Its sides are multiples of 16 px, and at least 64 px where the picture is that large.
    """
    boxes = wanted.regions or (Region(0, 0, *size),)
    left, top = min(each.x_px for each in boxes), min(each.y_px for each in boxes)
    right = max(each.x_px + each.width_px for each in boxes)
    bottom = max(each.y_px + each.height_px for each in boxes)
    x_px, width_px = _shrunk(left, right, fraction, size[0])
    y_px, height_px = _shrunk(top, bottom, fraction, size[1])
    return Region(x_px, y_px, width_px, height_px)


def _shrunk(first: int, last: int, fraction: float, whole: int) -> tuple[int, int]:
    side = max(_LEAST_PX, round((last - first) * fraction / _GRID_PX) * _GRID_PX)
    side = min(side, whole)
    start = round((first + last - side) / 2)
    return min(max(start, 0), whole - side), side


def within_part(wanted: Magnification, part: Region) -> Magnification:
    """The same magnification within a part, with a feather at its edges."""
    margin = round(min(wanted.feather_px, part.width_px / 4, part.height_px / 4))
    inside = Region(margin, margin, part.width_px - 2 * margin, part.height_px - 2 * margin)
    return replace(wanted, regions=(inside,), feather_px=float(margin))


class PartMagnifier:
    """Magnifier of whole pictures by one that is made for a part of them."""

    PLACE = "magnifier: part of the picture"
    """Place of the copies into and out of the part, in the account."""

    def __init__(
        self, inner: FrameMagnifier, part: Region, allocate: Allocator, account: CopyAccount | None = None
    ) -> None:
        self._inner, self._part, self._account = inner, part, account
        # The part of one frame may be the reference of the next.
        size = {"width_px": part.width_px, "height_px": part.height_px}
        self._cut, self._magnified = (
            FrameRing(2, **size, allocate=allocate),
            FrameRing(1, **size, allocate=allocate),
        )
        self._count = 0
        self.amplification = inner.amplification

    @property
    def settling_left_s(self) -> float:
        """Seconds until the filter has settled."""
        return self._inner.settling_left_s

    def expect_rate(self, rate_hz: float) -> None:
        """Take frames of another rate; see `FrameMagnifier.expect_rate`."""
        self._inner.expect_rate(rate_hz)

    def lines(self) -> list[str]:
        """Human-readable description of the filter, a line each."""
        return self._inner.lines()

    def restart(self) -> None:
        """Start anew with the next frame."""
        self._inner.restart()

    def step(self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], timestamp_s: float) -> None:
        """Magnify ``frame`` into ``magnified``; see `FrameMagnifier.step`."""
        window = self._part.slices
        cut, out = self._cut.frame(self._count), self._magnified.frame(0)
        self._count += 1
        copy_pixels(frame[window], cut, self._account, self.PLACE)
        self._inner.amplification = self.amplification
        self._inner.step(cut, out, timestamp_s)
        copy_pixels(frame, magnified, self._account, self.PLACE)
        copy_pixels(out, magnified[window], self._account, self.PLACE)


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
