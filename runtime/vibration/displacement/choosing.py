"""Choice of regions of interest for a recording: what moves by itself and most surely first, then what stands still."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.coherence import (
    BACKGROUND,
    SegmentedScene,
    homogeneous,
    segment,
)
from tremorscope.runtime.vibration.displacement.proposal import propose_regions, usual_side_px
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower, is_lost
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma

Picture = NDArray[Any]

_CANDIDATES = 4
"""Candidates of still texture for each region that is wanted."""
_SMALLEST_SIDE_PX = 16
_MOVING_SHARE = 0.75
"""Share of the places that what moves may take where enough stands still as well."""
_FEWEST_SHAKEN = 3
"""Places of the background where it moves as well: so many show that the camera does."""
_SURE = 10.0
"""Motion, in noise floors, that is as good as any."""
_MANY_CELLS = 16
_MOST_UNSURE = 0.2
"""Share of the cells of a still region that may follow no rigid motion."""
_RIGID_QUALITY = 0.5


@dataclass(frozen=True, eq=False)
class _Seen:
    """Frames of a recording, of which the first is the reference, and the noise of one in grey levels."""

    frames: Sequence[Picture]
    noise_sigma: float

    def is_rigid(self, region: Region) -> bool:
        """True if a region can be followed through the frames and shows motion along an axis."""
        try:
            follower = RegionFollower(self.frames[0], region, self.noise_sigma)
            follower.learn_noise(self.frames)
        except RegionFault:
            return False
        if not np.isfinite(follower.noise_floor_px).any():
            return False
        found = [follower.tracker.measure(frame) for frame in self.frames]
        return not any(is_lost(each) or each.quality <= _RIGID_QUALITY for each in found)


def choose_regions(
    frames: Sequence[Picture],
    count: int,
    *,
    still: Sequence[Region] = (),
    scene: SegmentedScene | None = None,
    bit_depth: int = 8,
) -> tuple[tuple[Region, ...], tuple[int, ...]]:
    """Choose up to ``count`` regions, from left to right, for frames of a recording, (H, W, 3; RGB) or luma (H, W).

    The picture is segmented by agreement of motion. Every region lies in one part alone, so that none straddles two
    bodies, and none on bars, labels or clocks. Up to three quarters of the places go to what moves against the
    background, the surest first and spread over each part; the others, three at least where most of the picture
    moves with the camera, to what stands still, by texture.

    Args:
        frames: the first is the reference; the others at irregular times, so that no vibration looks still in all.
        count: regions wanted.
        still: regions already chosen as references, which no other may overlap.
        scene: the segmentation of the frames, where it is known.
        bit_depth: of the frames.

    Returns:
        The regions, and the places, from 0, of those that belong to the background.

    Raises:
        OptionFault: no part of the picture has texture.
        RegionFault: no region can be followed.
    """
    scene = scene or segment(frames)
    seen = _Seen(frames, estimate_noise_sigma(as_luma(frames[0]), bit_depth))
    moving = list(_moving(scene, seen, math.ceil(_MOVING_SHARE * count), tuple(still)))
    is_shaken = scene.camera_px.any() and 2 * (scene.label == BACKGROUND).sum() > scene.cells.followed.sum()
    shaken = min(_FEWEST_SHAKEN, count - 1) if is_shaken else 0
    resting = list(_still(scene, seen, max(count - len(moving), shaken), (*still, *moving)))
    moving = moving[: count - len(resting)]
    chosen = [*moving, *resting]
    if len(chosen) < count:
        chosen += _moving(scene, seen, count - len(chosen), (*still, *chosen))
    if not chosen:
        raise RegionFault(
            "none of the proposed regions holds still enough to be followed",
            remedy="choose regions by hand, with --roi, or a part of the clip in which the camera stands still, "
            "with --start and --end",
        )
    chosen.sort(key=lambda region: (region.x_px, region.y_px))
    return tuple(chosen), tuple(at for at, region in enumerate(chosen) if region in resting)


def still_regions(
    scene: SegmentedScene, frames: Sequence[Picture], count: int, *, bit_depth: int = 8
) -> tuple[Region, ...]:
    """Regions of the background for the camera's motion, up to ``count``, spread over the picture."""
    seen = _Seen(frames, estimate_noise_sigma(as_luma(frames[0]), bit_depth))
    return tuple(_still(scene, seen, count, ()))


def _moving(scene: SegmentedScene, seen: _Seen, count: int, taken: tuple[Region, ...]) -> Iterator[Region]:
    """Regions of what moves by itself: surest and farthest from those already chosen first."""
    height, width = scene.masked.shape
    candidates = [each for each in _windows(scene) if not any(_overlap(each[0], other) for other in taken)]
    if not candidates or count <= 0:
        return
    middles = np.array([region.centre_px for region, _, _ in candidates])
    worth = np.array([sureness for _, sureness, _ in candidates])
    parts = np.array([part for _, _, part in candidates])
    reach = 0.5 * math.hypot(width, height) / math.sqrt(count)
    distance = np.full(worth.shape, reach)
    fresh = np.ones(worth.shape)
    found = 0
    while found < count:
        score = worth * np.minimum(distance, reach) * fresh
        best = int(np.argmax(score))
        if score[best] <= 0:
            return
        region = candidates[best][0]
        overlapping = np.array([_overlap(region, other) for other, _, _ in candidates])
        if not seen.is_rigid(region):
            worth[best] = 0
            continue
        worth[overlapping] = 0
        # A part that is shown already waits until the others are.
        fresh[parts == parts[best]] *= 0.5
        distance = np.minimum(distance, np.hypot(*(middles - middles[best]).T))
        found += 1
        yield region


def _windows(scene: SegmentedScene) -> Iterator[tuple[Region, float, int]]:
    """Every window that one moving part fills, trimmed to its cells, with its sureness and its part."""
    cells, side = scene.cells, usual_side_px(*scene.masked.shape[::-1])
    surely = scene.surely_px
    seen: set[Region] = set()
    for size in (side, 3 * side // 4, side // 2, 3 * side // 8, side // 4):
        if size < max(_SMALLEST_SIDE_PX, cells.side_px) and size != max(_SMALLEST_SIDE_PX, side // 4):
            continue
        for at in np.flatnonzero(scene.label > BACKGROUND).tolist():
            region, part = _trimmed(scene, at, max(size, cells.side_px)), int(scene.label[at])
            if region is None or region in seen or not homogeneous(scene, region, part):
                continue
            seen.add(region)
            inside = cells.within(region)
            sure, number = float(np.median(surely[inside])), float(inside.sum())
            # Many cells average the noise, and what is small may hold still by chance.
            yield region, sure / (sure + _SURE) * min(number / _MANY_CELLS, 1.0) ** 0.25, part


def _trimmed(scene: SegmentedScene, at: int, size: int) -> Region | None:
    """The window of a size around a cell, cut down to the cells of the same part in it; None off the picture."""
    cells = scene.cells
    x, y = cells.centre_px[at]
    window = Region(round(x - (size - 1) / 2), round(y - (size - 1) / 2), size, size)
    members = cells.corner_px[cells.within(window) & (scene.label == scene.label[at])]
    if not len(members):
        return None
    (left, top), (right, bottom) = (
        members.min(axis=0).tolist(),
        (members.max(axis=0) + cells.side_px).tolist(),
    )
    return Region(left, top, right - left, bottom - top)


def _still(scene: SegmentedScene, seen: _Seen, count: int, taken: tuple[Region, ...]) -> Iterator[Region]:
    """Regions of the background, by texture and distance."""
    found = 0
    try:
        proposals = propose_regions(
            as_luma(seen.frames[0]), _CANDIDATES * max(count, 1), noise_sigma=seen.noise_sigma, taken=taken
        )
    except OptionFault:
        if not taken:
            raise
        return
    for each in proposals:
        if found >= count:
            return
        if _stands_still(scene, each.region) and seen.is_rigid(each.region):
            found += 1
            yield each.region


def _stands_still(scene: SegmentedScene, region: Region) -> bool:
    """True if a region is free of overlays and of anything that moves by itself."""
    labels = scene.label[scene.cells.touching(region)]
    unsure = (labels < BACKGROUND).mean() if labels.size else 0.0
    return not (scene.masked[region.slices].any() or (labels > BACKGROUND).any() or unsure > _MOST_UNSURE)


def _overlap(one: Region, other: Region) -> bool:
    across = one.x_px < other.x_px + other.width_px and other.x_px < one.x_px + one.width_px
    down = one.y_px < other.y_px + other.height_px and other.y_px < one.y_px + one.height_px
    return across and down
