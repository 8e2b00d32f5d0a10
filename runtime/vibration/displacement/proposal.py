"""Proposal of regions of interest with texture in both directions, spread over the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import Luma, estimate_noise_sigma

Values = NDArray[np.float64]
Picture = NDArray[np.floating]

_LARGEST_SIDE_PX, _SMALLEST_SIDE_PX = 64, 24
_LARGEST_JUDGED_PX = 256
"""Side up to which the whole of a region is judged."""
_STEPS_A_SIDE = 4
_BLUR_SIGMA_PX = 1.0
_GOOD_FLOOR_PX = 0.002
"""Noise floor below which more texture hardly counts and distance decides."""
_WORST_FLOOR_PX = 0.03
_WORST_TO_BEST = 10.0
"""Ratio of noise floors beyond which a region is not worth proposing beside the best one."""
_ONE_DIRECTION = 0.2
"""Worth, against 1, of a region that shows motion along one direction only, such as a mast's."""


@dataclass(frozen=True)
class Proposal:
    """A proposed region with its predicted noise floor."""

    region: Region
    noise_floor_px: float
    """Predicted along the region's worse direction, or its better one where the other shows nothing."""
    both_directions: bool
    """False where only motion square to an edge can be seen."""


@dataclass(frozen=True)
class ExpectedQuality:
    """Quality of measurement that a region promises."""

    noise_floor_x_px: float = math.inf
    """Standard deviation of one frame's measurement along x that noise causes; infinite where texture lacks."""
    noise_floor_y_px: float = math.inf
    trouble: str = ""
    """Reason why nothing can be measured there; empty if it can."""
    remark: str = ""


def expected_quality(frames: Sequence[Picture], region: Region, noise_sigma: float) -> ExpectedQuality:
    """Judge a region by some frames of a camera, as a measurement that begins with them would.

    Args:
        frames: luma (H, W) of frames within a second or two; the first is the reference.
        region: where to measure; of a large one the middle is judged.
        noise_sigma: standard deviation of one frame's noise, in grey levels.
    """
    judged, remark = region, ""
    if max(region.width_px, region.height_px) > _LARGEST_JUDGED_PX:
        width_px, height_px = (min(side, _LARGEST_JUDGED_PX) for side in (region.width_px, region.height_px))
        left_px = region.x_px + (region.width_px - width_px) // 2
        judged = Region(left_px, region.y_px + (region.height_px - height_px) // 2, width_px, height_px)
        remark = (
            f"judged by its middle; a region of over {_LARGEST_JUDGED_PX} px costs much time in every frame"
        )
    try:
        region.check_inside(*frames[0].shape[::-1])
        follower = RegionFollower(frames[0], judged, noise_sigma)
        follower.learn(frames)
    except RegionFault as fault:
        return ExpectedQuality(trouble=str(fault))
    floors = follower.noise_floor_px
    return ExpectedQuality(float(floors[0]), float(floors[1]), remark=remark)


def usual_side_px(width_px: int, height_px: int) -> int:
    """Side of a square region for a picture of a size: 64 px, less in small pictures."""
    side = 8 * round(min(width_px, height_px) / 6 / 8)
    return min(max(_SMALLEST_SIDE_PX, min(_LARGEST_SIDE_PX, side)), width_px, height_px)


def propose_regions(
    picture: Luma,
    count: int,
    *,
    side_px: int | None = None,
    noise_sigma: float | None = None,
    taken: tuple[Region, ...] = (),
) -> tuple[Proposal, ...]:
    """Propose up to ``count`` square regions of a picture (H, W) of luma, the most useful first, none overlapping.

    Texture is judged by the eigenvalues of the structure tensor (Shi and Tomasi, "Good Features to Track",
    CVPR 1994): summed over a region they predict the noise floor of displacement along its two principal
    directions, noise_sigma / sqrt(eigenvalue). Each region in turn is the one of greatest usefulness times
    distance from those already chosen and from ``taken``.

    Raises:
        OptionFault: no region of the picture has texture.
    """
    height_px, width_px = picture.shape
    side = side_px or usual_side_px(width_px, height_px)
    sigma = estimate_noise_sigma(picture) if noise_sigma is None else noise_sigma
    left, top, worse, better = _floors(picture, side, sigma)
    worth = 1 / (1 + worse / _GOOD_FLOOR_PX) + _ONE_DIRECTION / (1 + better / _GOOD_FLOOR_PX)
    worth[better > min(_WORST_FLOOR_PX, _WORST_TO_BEST * float(better.min()))] = 0
    # A first choice near the middle is as good as any: distance counts from the second on.
    reach = 0.8 * math.hypot(width_px, height_px) / math.sqrt(count)
    distance = np.full(worth.shape, reach)
    chosen: list[Proposal] = []
    for region in taken:
        worth[_overlapping(left, top, side, region)] = 0
    while len(chosen) < count:
        best = int(np.argmax(worth * np.minimum(distance, reach)))
        if worth[best] <= 0:
            break
        region = Region(int(left[best]), int(top[best]), side, side)
        worth[_overlapping(left, top, side, region)] = 0
        if not _is_measurable(picture, region, sigma):
            continue
        both = worse[best] <= _WORST_FLOOR_PX
        chosen.append(Proposal(region, float(worse[best] if both else better[best]), bool(both)))
        distance = np.minimum(distance, np.hypot(left - region.x_px, top - region.y_px))
    if not chosen:
        raise OptionFault(
            "no part of the picture has texture to measure displacement by",
            remedy="aim or focus the camera on something with edges, or mark the structure",
        )
    return tuple(chosen)


def _floors(picture: Luma, side: int, sigma: float) -> tuple[Values, Values, Values, Values]:
    """Left, top, and the predicted noise floors (worse and better direction) of squares on a grid, (n,) each."""
    smooth = ndimage.gaussian_filter(picture, _BLUR_SIGMA_PX)
    slope_y, slope_x = np.gradient(smooth)
    # Gradient energy per pixel of white noise behind the Gaussian, which texture must exceed.
    of_noise = sigma**2 / (8 * math.pi * _BLUR_SIGMA_PX**4)
    step = max(1, side // _STEPS_A_SIDE)
    sums = [_sums(product, side, step) for product in (slope_x**2, slope_y**2, slope_x * slope_y)]
    xx, yy = sums[0] - side**2 * of_noise, sums[1] - side**2 * of_noise
    spread = np.hypot((xx - yy) / 2, sums[2])
    middle = (xx + yy) / 2
    floors = [sigma / np.sqrt(np.maximum(middle + sign * spread, 1e-9)) for sign in (-1, 1)]
    rows, columns = xx.shape
    top, left = np.meshgrid(
        step * np.arange(rows, dtype=np.float64), step * np.arange(columns, dtype=np.float64), indexing="ij"
    )
    return left.ravel(), top.ravel(), floors[0].ravel(), floors[1].ravel()


def _sums(picture: Values, side: int, step: int) -> Values:
    """Sums over squares of a side, of which one begins every ``step`` pixels, (rows, columns)."""
    total = np.zeros((picture.shape[0] + 1, picture.shape[1] + 1))
    np.cumsum(np.cumsum(picture, axis=0), axis=1, out=total[1:, 1:])
    strips = total[:, side:] - total[:, :-side]
    boxes: Values = (strips[side:] - strips[:-side])[::step, ::step]
    return boxes


def _overlapping(left: Values, top: Values, side: int, region: Region) -> NDArray[np.bool_]:
    across = (left < region.x_px + region.width_px) & (region.x_px < left + side)
    down = (top < region.y_px + region.height_px) & (region.y_px < top + side)
    both: NDArray[np.bool_] = across & down
    return both


def _is_measurable(picture: Luma, region: Region, sigma: float) -> bool:
    try:
        RegionTracker(picture, region, sigma)
    except RegionFault:
        return False
    return True
