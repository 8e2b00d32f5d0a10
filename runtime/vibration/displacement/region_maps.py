"""Maps that carry displacements of regions by a calibrated lens or plane."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.geometry import Lens, PlaneScale
from tremorscope.runtime.vibration.displacement.regions import Region, Scale

Values = NDArray[np.float64]

_NEGLIGIBLE = 0.02
"""Share of an axis without texture in a plane's axis up to which it is left out."""


class RegionMaps:
    """Maps that carry displacements of regions to a common plane, and the scale that they then have: one, the mean.

    Args:
        calibrated: the lens or the plane.
        regions: regions whose displacement is measured.
    """

    def __init__(self, calibrated: Lens | PlaneScale | None, regions: Sequence[Region]) -> None:
        places = [each.centre_px for each in regions]
        self.calibrated = calibrated
        self.has_lens = isinstance(calibrated, Lens)
        if not isinstance(calibrated, PlaneScale):
            self.scales: tuple[Scale, ...] | None = None
            maps = [np.eye(2) if calibrated is None else calibrated.map_at(place) for place in places]
            self.matrices: Values = np.array(maps)
            return
        self.has_lens = calibrated.lens is not None
        stretches = np.array([calibrated.stretch_at(place) for place in places])  # (regions, 2, 2)
        mm_per_px = np.sqrt(np.linalg.det(stretches))
        sigmas = np.array([calibrated.relative_sigma_at(place) for place in places])
        mm_per_px[:], sigmas[:] = mm_per_px.mean(), sigmas.max()
        self.matrices = stretches / mm_per_px[:, None, None]
        text = f"by {calibrated.method}"
        self.scales = tuple(
            Scale(float(each), text, float(sigma)) for each, sigma in zip(mm_per_px, sigmas, strict=True)
        )

    def size_trouble(self, width_px: int, height_px: int) -> str:
        """Complaint that lens or scale were calibrated on pictures of another size; empty if not."""
        if self.calibrated is None:
            return ""
        try:
            self.calibrated.check_size(width_px, height_px, "the calibrated picture")
        except OptionFault as fault:
            return str(fault)
        return ""

    def carry(self, at: int, moved_px: ArrayLike) -> Values:
        """Displacement of a region, (2,) or (2, N) px, on the plane in px of its scale."""
        found: Values = self.matrices[at] @ np.asarray(moved_px, float)
        return found

    def floors(self, at: int, floors_px: Sequence[float] | Values) -> tuple[float, float]:
        """Noise floors of a region's carried displacement along x and y.

        An axis in which one without texture has a part shows no motion either: its floor is infinite.
        """
        parts = np.abs(self.matrices[at])  # (2, 2)
        parts[parts < _NEGLIGIBLE * parts.max(axis=1, keepdims=True)] = 0
        with np.errstate(invalid="ignore"):
            squares = np.where(parts > 0, parts * np.asarray(floors_px, float), 0.0) ** 2
        x, y = np.sqrt(squares.sum(axis=1)).tolist()
        return x, y


def for_pixels(
    aspect: float, maps: RegionMaps | None, regions: Sequence[Region], *, is_scaled: bool
) -> RegionMaps | None:
    """Maps whose displacement is in heights of a pixel along x, too, so that one scale in mm holds for both axes.

    As they are where pixels are square, where no scale is stated, or where a plane states one for each axis.

    Args:
        aspect: width over height of a pixel.
        maps: maps by lens or plane; None where neither is stated.
        regions: their regions.
        is_scaled: True where mm per px are stated.
    """
    if aspect == 1 or not is_scaled or (maps is not None and maps.scales):
        return maps
    wide = RegionMaps(maps.calibrated if maps is not None else None, regions)
    wide.matrices = np.diag([aspect, 1.0]) @ wide.matrices
    return wide


def aspect_note(aspect: float, is_scaled: bool) -> str:
    """Words on pixels that are not square."""
    told = "the scale is that of its height, and all along x is told in such px"
    told = told if is_scaled else "a px along x is another length than one along y"
    return f"a pixel is {aspect:.4g} times as wide as high: {told}"
