"""Choice of regions of interest for a recording, by texture and by motion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.vibration.displacement.estimator import Displacement
from tremorscope.runtime.vibration.displacement.proposal import propose_regions
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower, is_lost
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import Luma, estimate_noise_sigma, luma

Picture = NDArray[Any]

_CANDIDATES = 3
"""Candidates for each region that is wanted."""
_RIGID_QUALITY = 0.5
_CLEARLY_MOVING = 3.0


def choose_regions(
    frames: Sequence[Picture], count: int, *, still: Sequence[Region] = (), bit_depth: int = 8
) -> tuple[Region, ...]:
    """Choose up to ``count`` regions, from left to right, for frames spread over a recording.

    Three times as many are proposed by texture and distance. Those that cannot be tracked through the frames,
    because no rigid part fills them, are left out. Half of the places go to the regions that move most against
    the rest of the picture, in units of their noise floor; the others to those of best texture.

    Args:
        frames: (H, W, 3; RGB), or luma (H, W); the first is the reference.
        count: regions wanted.
        still: regions already chosen as references, which no other may overlap.
        bit_depth: of the frames.

    Raises:
        OptionFault: no part of the picture has texture.
        RegionFault: no region can be followed.
    """
    reference: Luma = frames[0].astype(np.float64) if frames[0].ndim == 2 else luma(frames[0])
    sigma = estimate_noise_sigma(reference, bit_depth)
    proposals = propose_regions(reference, _CANDIDATES * count, noise_sigma=sigma, taken=tuple(still))
    followed = [(each.region, _follow(frames, each.region, sigma)) for each in proposals]
    rigid = [(region, found) for region, found in followed if found is not None]
    if not rigid:
        raise RegionFault(
            "none of the proposed regions holds still enough to be followed",
            remedy="choose regions by hand, with --roi",
        )
    motion = np.stack([moved for _, (moved, _) in rigid])
    floors = np.stack([floor for _, (_, floor) in rigid])
    # What all regions share is the camera's motion.
    own = motion - np.nan_to_num(_median(motion)) if len(rigid) > 2 else motion
    liveliness = np.nan_to_num(own.std(axis=1) / floors).max(axis=1)
    moving = [int(k) for k in np.argsort(-liveliness) if liveliness[k] > _CLEARLY_MOVING][: (count + 1) // 2]
    order = moving + [k for k in range(len(rigid)) if k not in moving]
    chosen = [rigid[k][0] for k in order[:count]]
    return tuple(sorted(chosen, key=lambda region: (region.x_px, region.y_px)))


def _median(motion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Median over the regions, (frames, 2); NaN along an axis that none of them shows."""
    shown = np.isfinite(motion).any(axis=(0, 1))
    median = np.full(motion.shape[1:], np.nan)
    median[:, shown] = np.nanmedian(motion[:, :, shown], axis=0)
    return median


def _follow(
    frames: Sequence[Picture], region: Region, noise_sigma: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Displacement (frames, 2), NaN along an axis without texture, and noise floors (2,); None if not rigid."""
    try:
        follower = RegionFollower(frames[0], region, noise_sigma)
        follower.learn_noise(frames)
    except RegionFault:
        return None
    found = [follower.tracker.measure(frame) for frame in frames]
    if not all(map(_is_rigid, found)):
        return None
    floors = np.array(follower.noise_floor_px)
    if not np.isfinite(floors).any():
        return None
    moved = np.array([(each.x_px, each.y_px) for each in found])
    return np.where(np.isfinite(floors), moved, np.nan), floors


def _is_rigid(found: Displacement) -> bool:
    return not is_lost(found) and found.quality > _RIGID_QUALITY
