"""Displacements by what is known of the camera: the shape of its pixels, its lens, and the structure's plane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.jobs.survey import Survey
from tremorscope.runtime.vibration.displacement.geometry import Lens, PlaneScale, check_same_lens
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps, for_pixels
from tremorscope.runtime.vibration.displacement.regions import Region, Scale
from tremorscope.runtime.vibration.spectra.analysis import RegionSeries


def in_the_plane(
    survey: Survey,
    regions: tuple[Region, ...],
    series: tuple[RegionSeries, ...],
    *,
    scale: Scale | PlaneScale | None,
    lens: Lens | None,
) -> tuple[tuple[RegionSeries, ...], Scale | None, bool]:
    """Displacements by lens and plane, where they are stated; the scale; and True if distortion was taken out."""
    plane, stated = (scale, None) if isinstance(scale, PlaneScale) else (None, scale)
    maps = _maps(plane, lens, survey.shown, regions)
    maps = for_pixels(survey.pixel_aspect, maps, regions, is_scaled=stated is not None)
    if maps is None:
        return series, stated, False
    carried = tuple(_carried(each, maps, at) for at, each in enumerate(series))
    return carried, maps.scales[0] if maps.scales else stated, lens is not None or maps.has_lens


def _maps(
    plane: PlaneScale | None, lens: Lens | None, frame: NDArray[np.uint8], regions: tuple[Region, ...]
) -> RegionMaps | None:
    """Maps by lens and plane; None where neither was stated."""
    calibrated = plane or lens
    if calibrated is None:
        return None
    if plane is not None:
        check_same_lens(plane, lens)
    calibrated.check_size(frame.shape[1], frame.shape[0], "the scale" if plane else "the lens")
    return RegionMaps(calibrated, regions)


def _carried(series: RegionSeries, maps: RegionMaps, at: int) -> RegionSeries:
    """Displacement, and all that is said of its errors, carried by the map of a region."""
    x_px, y_px = maps.carry(at, np.stack([series.x_px, series.y_px]))
    errors = (series.noise_floor_px, series.rounding_floor_px, series.coding_error_px, series.bound_px)
    floors, rounding, coding, bound = (maps.floors(at, each) for each in errors)
    return replace(
        series,
        x_px=x_px,
        y_px=y_px,
        noise_floor_px=floors,
        rounding_floor_px=rounding,
        coding_error_px=coding,
        bound_px=bound,
        camera_px=None if series.camera_px is None else maps.carry(at, series.camera_px),
    )
