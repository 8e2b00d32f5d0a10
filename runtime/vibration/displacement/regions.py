"""Regions of interest: rectangles of the picture in which displacement is measured."""

from __future__ import annotations

from dataclasses import dataclass

from tremorscope.runtime.errors import OptionFault

SMALLEST_SIDE_PX = 8


class RegionFault(OptionFault):
    """A region of interest lies outside the picture, is too small, or has too little texture."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture: its left column, top row, width and height, in pixels."""

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    @property
    def centre_px(self) -> tuple[float, float]:
        """x and y of the middle, where the centre of the picture's first pixel is (0, 0)."""
        return self.x_px + (self.width_px - 1) / 2, self.y_px + (self.height_px - 1) / 2

    def check_inside(self, picture_width_px: int, picture_height_px: int) -> None:
        """Check that the region has a usable size and lies in a picture.

        Raises:
            RegionFault: it does not.
        """
        if min(self.width_px, self.height_px) < SMALLEST_SIDE_PX:
            raise RegionFault(
                f"{self}: too small to measure in",
                remedy=f"make it at least {SMALLEST_SIDE_PX}x{SMALLEST_SIDE_PX} px, better 32x32",
            )
        fits_across = self.x_px >= 0 and self.x_px + self.width_px <= picture_width_px
        fits_down = self.y_px >= 0 and self.y_px + self.height_px <= picture_height_px
        if not (fits_across and fits_down):
            raise RegionFault(
                f"{self}: reaches outside the picture of {picture_width_px}x{picture_height_px} px",
                remedy="move it inside or make it smaller",
            )

    def __str__(self) -> str:
        return f"region {self.width_px}x{self.height_px} at x {self.x_px}, y {self.y_px}"
