"""Displacement of one region over a recording, from which its spectra are computed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.spectra.findings import Axis

Values = NDArray[np.float64]
ROW = 7
"""Values of a region in one frame, in the order of `RegionSeries.of_rows`."""


@dataclass(frozen=True, eq=False)
class RegionSeries:
    """Displacement of one region over the frames of a recording."""

    name: str
    region: Region
    x_px: Values
    """(N,), to the right positive; NaN where the region was lost."""
    y_px: Values
    """(N,), downwards positive; NaN likewise."""
    quality: Values
    """(N,), share of the region's variance that the match explains."""
    light: Values
    """(2, N): contrast and mean brightness against the reference's."""
    noise_floor_px: tuple[float, float]
    """Standard deviation of one frame's x and y that image noise causes; infinite where texture lacks."""
    rounding_floor_px: tuple[float, float] = (0.0, 0.0)
    """Amplitude along x and y up to which the rounding of pixels may pass for a steady tone."""
    coding_error_px: tuple[float, float] = (0.0, 0.0)
    """Standard error of an amplitude along x and y that compression leaves."""
    bound_px: tuple[float, float] = (math.nan, math.nan)
    """Cramer-Rao bound of the region's own noise floors along x and y; NaN where it is not known."""
    camera_px: Values | None = None
    """(2, N): the camera's own motion along x and y that was taken out; None or zeros where none is."""

    @classmethod
    def of_rows(
        cls,
        name: str,
        region: Region,
        rows: Values,
        noise_floor_px: Values,
        rounding_floor_px: Values,
        **more: tuple[float, float],
    ) -> RegionSeries:
        """Series of a region from its rows and floors.

        Args:
            name: of the region.
            region: its place.
            rows: x, y, quality, gain, brightness, and the camera's motion along x and y, (7, N).
            noise_floor_px: along x and y, (2,).
            rounding_floor_px: likewise.
            more: further fields.
        """
        floors, rounding = noise_floor_px.tolist(), rounding_floor_px.tolist()
        return cls(
            name,
            region,
            x_px=rows[0],
            y_px=rows[1],
            quality=rows[2],
            light=rows[3:5],
            camera_px=rows[5:],
            noise_floor_px=(floors[0], floors[1]),
            rounding_floor_px=(rounding[0], rounding[1]),
            **more,
        )

    def along(self, axis: Axis) -> Values:
        """Displacement along an axis."""
        return self.x_px if axis == "x" else self.y_px

    @property
    def lost_share(self) -> float:
        """Share of the frames in which it was lost."""
        return float(np.isnan(self.x_px).mean())
