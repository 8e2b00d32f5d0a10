"""Regions of interest: rectangles of the picture in which displacement is measured; and the picture's scale, in
millimetres per pixel, with its provenance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tremorscope.runtime.errors import OptionFault

SMALLEST_SIDE_PX = 8


class RegionFault(OptionFault):
    """A region of interest lies outside the picture, is too small, or has too little texture."""


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture: its left column, top row, width and height, in pixels.

    >>> region = Region(x_px=10, y_px=20, width_px=64, height_px=32)
    >>> print(region)
    region 64x32 at x 10, y 20
    >>> region.centre_px
    (41.5, 35.5)
    >>> region.slices
    (slice(20, 52, None), slice(10, 74, None))
    >>> region.check_inside(400, 224)
    >>> region.check_inside(64, 48)
    Traceback (most recent call last):
        ...
    tremorscope.runtime.vibration.displacement.regions.RegionFault: region 64x32 at x 10, y 20: reaches outside the ...
    """

    x_px: int
    y_px: int
    width_px: int
    height_px: int

    @property
    def centre_px(self) -> tuple[float, float]:
        """x and y of the middle, where the centre of the picture's first pixel is (0, 0)."""
        return self.x_px + (self.width_px - 1) / 2, self.y_px + (self.height_px - 1) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns of the region in a picture (H, W) or (H, W, C)."""
        return slice(self.y_px, self.y_px + self.height_px), slice(self.x_px, self.x_px + self.width_px)

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


@dataclass(frozen=True)
class RegionEdit:
    """A region as somebody wants it."""

    name: str
    region: Region
    was: str | None = None
    """Its present name; None for a new one."""
    still: bool = False
    """True for a region of what cannot move. These have no names in the file: "still 1" is the first of them."""


@dataclass(frozen=True)
class Scale:
    """Millimetres on the structure for a pixel in the picture, valid in the plane that was stated."""

    mm_per_px: float
    provenance: str
    """Human-readable origin of the scale."""
    relative_sigma: float = 0.0
    """Relative standard uncertainty; 0 for a scale that is stated, which counts as exact."""

    def __post_init__(self) -> None:
        _check_positive("scale", self.mm_per_px, "mm/px", remedy="state millimetres per pixel, e.g. 0.5")

    @classmethod
    def stated(cls, mm_per_px: float) -> Scale:
        """A scale that the user states.

        Raises:
            OptionFault: it is not a number above 0.
        """
        return cls(mm_per_px, "stated")

    @classmethod
    def from_length(cls, length_mm: float, length_px: float) -> Scale:
        """A scale from something of known length in the plane of the motion, and its length in the picture.

        Raises:
            OptionFault: a length is not a number above 0.

        >>> print(Scale.from_length(1000.0, 400.0))
        2.5 mm/px (from a length of 1000 mm that spans 400 px)
        >>> Scale.from_length(1000.0, 0.0)
        Traceback (most recent call last):
            ...
        tremorscope.runtime.errors.OptionFault: known length of 0 px is not a number above 0: ...
        """
        _check_positive("known length", length_mm, "mm", remedy="state a length above 0")
        _check_positive("known length", length_px, "px", remedy="state its length in the picture, above 0")
        return cls(length_mm / length_px, f"from a length of {length_mm:g} mm that spans {length_px:g} px")

    @classmethod
    def from_optics(cls, distance_m: float, focal_length_mm: float, pixel_pitch_um: float) -> Scale:
        """A scale from the distance to the structure, the focal length and the pitch of the sensor's pixels.

        Thin lens, focused on the structure, axis square to the motion: a pixel is pitch * (distance - focal
        length) / focal length.

        Raises:
            OptionFault: a number is not above 0, or the structure is nearer than the focal length.

        >>> round(Scale.from_optics(48.0, 25.0, 1.55).mm_per_px, 2)
        2.97
        >>> Scale.from_optics(48.0, 25.0, 1.55).provenance
        'from 48 m distance, 25 mm focal length and pixels of 1.55 um'
        """
        _check_positive("distance", distance_m, "m", remedy="state the distance to the structure")
        _check_positive("focal length", focal_length_mm, "mm", remedy="state the lens's own focal length")
        _check_positive("pixel pitch", pixel_pitch_um, "um", remedy="see the sensor's data sheet, e.g. 1.55")
        distance_mm = 1000 * distance_m
        if distance_mm <= focal_length_mm:
            raise OptionFault(
                f"a distance of {distance_m:g} m within a focal length of {focal_length_mm:g} mm gives no picture",
                remedy="state the distance in metres and the focal length in millimetres",
            )
        return cls(
            pixel_pitch_um / 1000 * (distance_mm - focal_length_mm) / focal_length_mm,
            f"from {distance_m:g} m distance, {focal_length_mm:g} mm focal length "
            f"and pixels of {pixel_pitch_um:g} um",
        )

    def __str__(self) -> str:
        known = f" ± {100 * self.relative_sigma:.2g} %" if self.relative_sigma else ""
        return f"{self.mm_per_px:.6g} mm/px{known} ({self.provenance})"

    def sigma_mm(self, amplitude_px: float, sigma_px: float) -> float:
        """Standard uncertainty in mm of an amplitude: its own and the scale's, relative, in quadrature.

        >>> Scale(2.0, 'a board', relative_sigma=0.04).sigma_mm(amplitude_px=0.5, sigma_px=0.015)
        0.05
        """
        return self.mm_per_px * math.hypot(sigma_px, self.relative_sigma * amplitude_px)


def scale_of(
    mm_per_px: float | None, length: tuple[float, float] | None, optics: tuple[float, float, float] | None
) -> Scale | None:
    """The scale from the one way in which it was given; None where it was given in none.

    Raises:
        OptionFault: it was given in more than one way, or a number is out of range.
    """
    if sum(way is not None for way in (mm_per_px, length, optics)) > 1:
        raise OptionFault("the scale was given in more than one way", remedy="give it in one way")
    if mm_per_px is not None:
        return Scale.stated(mm_per_px)
    if length is not None:
        return Scale.from_length(*length)
    return Scale.from_optics(*optics) if optics is not None else None


def _check_positive(what: str, value: float, unit: str, *, remedy: str) -> None:
    if not (math.isfinite(value) and value > 0):
        raise OptionFault(f"{what} of {value:g} {unit} is not a number above 0", remedy=remedy)
