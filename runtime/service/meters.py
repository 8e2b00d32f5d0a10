"""The meter of the regions that can be measured, and for the others the reason why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.knock import Knock, KnockWatch
from tremorscope.runtime.vibration.displacement.meter import MotionMeter
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower
from tremorscope.runtime.vibration.displacement.region_maps import RegionMaps
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import estimate_noise_sigma, luma

Picture = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class OpenedMeter:
    """A meter, the regions that it measures, and what is wrong with the others."""

    meter: MotionMeter | None
    """None where no region can be measured."""
    places: list[int]
    """Number of the region that each of the meter's belongs to."""
    troubles: list[str]
    """Of each region, why it cannot be measured; empty if it can."""


def open_meter(
    samples: Sequence[Picture],
    regions: Sequence[Region],
    still: Sequence[Region],
    maps: Sequence[RegionMaps | None],
    bit_depth: int,
) -> OpenedMeter:
    """Open a meter for all regions that can be measured.

    Args:
        samples: frames, u8[H, W, 3], to learn noise from, of which the first is the reference.
        regions: regions to measure.
        still: regions of what cannot move.
        maps: map of each region, by lens and plane.
        bit_depth: of the camera's brightness.
    """
    sigma = estimate_noise_sigma(luma(samples[0]), bit_depth)
    troubles = []
    for region, each in zip(regions, maps, strict=True):
        of_other_size = each.size_trouble(*samples[0].shape[1::-1]) if each else ""
        troubles.append(of_other_size or _trouble_with(samples, region, sigma))
    places = [at for at, trouble in enumerate(troubles) if not trouble]
    if not places:
        return OpenedMeter(None, places, troubles)
    try:
        meter = MotionMeter(samples[0], [regions[at] for at in places], still, bit_depth=bit_depth)
        meter.learn_noise(samples)
    except RegionFault as fault:
        return OpenedMeter(None, [], [each or str(fault) for each in troubles])
    return OpenedMeter(meter, places, troubles)


def watch_for_knocks(
    reference: Picture, still: Sequence[Region], tell: Callable[[str], None]
) -> KnockWatch | None:
    """Watch for knocks of the camera against a reference; None, which is told, where OpenCV is not installed."""
    try:
        return KnockWatch(reference, holds=not still)
    except OptionFault as fault:
        tell(f"a camera that is knocked goes unnoticed: {fault}")
        return None


def knock_text(knock: Knock, size_px: tuple[int, ...], regions: Mapping[str, Region]) -> str:
    """Account of a knock, with the places in which regions are measured from now on."""
    places = ", ".join(f"{name} x_px {place.x_px}, y_px {place.y_px}" for name, place in regions.items())
    return (
        f"the camera was knocked: {knock.text(*size_px)}; regions are measured where they now are, and displacement "
        f"begins anew; before the next start write: {places}"
    )


def _trouble_with(samples: Sequence[Picture], region: Region, sigma: float) -> str:
    """Reason why a region cannot be measured; empty if it can."""
    try:
        follower = RegionFollower(samples[0], region, sigma)
        follower.learn_noise(samples)
    except RegionFault as fault:
        return str(fault)
    if not np.isfinite(follower.noise_floor_px).any():
        return (
            f"{region}: shows motion neither along x nor along y: choose one with texture in both directions"
        )
    return ""
