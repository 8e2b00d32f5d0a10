"""Magnification of the middle of the picture alone, in less time in proportion to its area; the rest is as filmed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import Allocator, FrameRing
from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels
from tremorscope.runtime.magnification.factory import Magnification, MagnifierMaker
from tremorscope.runtime.magnification.magnifier import FrameMagnifier
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
        part = self._part
        window = (
            slice(part.y_px, part.y_px + part.height_px),
            slice(part.x_px, part.x_px + part.width_px),
        )
        cut, out = self._cut.frame(self._count), self._magnified.frame(0)
        self._count += 1
        copy_pixels(frame[window], cut, self._account, self.PLACE)
        self._inner.amplification = self.amplification
        self._inner.step(cut, out, timestamp_s)
        copy_pixels(frame, magnified, self._account, self.PLACE)
        copy_pixels(out, magnified[window], self._account, self.PLACE)


class PartMaker:
    """Makes magnifiers of a part, on an engine of its size."""

    def __init__(
        self, maker: MagnifierMaker, part: Region, allocate: Allocator, account: CopyAccount | None = None
    ) -> None:
        self._maker, self._part, self._allocate, self._account = maker, part, allocate, account

    def prepare(self, wanted: Magnification) -> None:
        """Open the engine; see `MagnifierMaker.prepare`."""
        self._maker.prepare(self._within(wanted))

    def make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        """A magnifier of whole pictures; see `MagnifierMaker.make`."""
        inner = self._maker.make(self._within(wanted), rate_hz)
        return PartMagnifier(inner, self._part, self._allocate, self._account)

    def close(self) -> None:
        """Close the engine; see `MagnifierMaker.close`."""
        self._maker.close()

    def _within(self, wanted: Magnification) -> Magnification:
        """The same magnification within the part, with a feather at its edges."""
        margin = round(min(wanted.feather_px, self._part.width_px / 4, self._part.height_px / 4))
        inside = Region(margin, margin, self._part.width_px - 2 * margin, self._part.height_px - 2 * margin)
        return replace(wanted, regions=(inside,), feather_px=float(margin))
