"""Motion of small cells all over the picture, through a few frames: what `coherence` is judged from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.overlays import Mask
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma

Picture = NDArray[Any]
Values = NDArray[np.float64]

_SMALLEST_SIDE_PX = 12
_MOST_CELLS = 600
_LEAST_CONTRAST = 8.0
"""Contrast of a cell, as a multiple of the noise, from which on it is texture rather than compression."""
_TO_BEST = 0.1
"""Slope of a cell's brightness, as a share of that of the best, from which on it is worth following."""
_COMPRESSION = 1.0
"""Least noise that is reckoned with, in grey levels: compression leaves none where the picture is flat."""
_LEAST_QUALITY, _MOST_LOST = 0.5, 0.25
_FEW, _NOISIER = 3, 1.5
_MASKED_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class Cells:
    """Square cells of a picture that have texture, and how each moves through some frames."""

    side_px: int
    corner_px: NDArray[np.int64]
    """Left column and top row, (n, 2)."""
    motion_px: Values
    """Displacement against the first frame, (n, frames, 2), x and y; NaN where it was not found."""
    direction: Values
    """Unit vector of the direction along which motion is seen, (n, 2), where it is one only."""
    both: Mask
    """(n,), True where motion is seen along both."""
    floor_px: Values
    """Standard deviation that noise causes in a frame, (n,); infinite where the cell could not be followed."""
    unexplained: Values
    """RMS difference that motion and light leave, (n, frames), in grey levels."""

    @property
    def followed(self) -> Mask:
        """(n,), True where the motion is known."""
        known: Mask = np.isfinite(self.floor_px)
        return known

    @property
    def centre_px(self) -> Values:
        """x and y of the middle, (n, 2)."""
        centres: Values = self.corner_px.astype(np.float64) + (self.side_px - 1) / 2
        return centres

    def within(self, region: Region) -> Mask:
        """(n,), True for a cell that lies wholly in a region."""
        left, top = self.corner_px.T
        inside: Mask = (
            (left >= region.x_px)
            & (top >= region.y_px)
            & (left + self.side_px <= region.x_px + region.width_px)
            & (top + self.side_px <= region.y_px + region.height_px)
        )
        return inside

    def touching(self, region: Region) -> Mask:
        """(n,), True for a cell of which at least the middle half lies in a region."""
        x, y = self.centre_px.T
        margin = self.side_px / 4
        inside: Mask = (
            (x > region.x_px + margin)
            & (y > region.y_px + margin)
            & (x < region.x_px + region.width_px - margin)
            & (y < region.y_px + region.height_px - margin)
        )
        return inside

    def seen(self, motion_px: Values) -> Values:
        """A motion (n, frames, 2), or one of all (frames, 2), as far as each cell would see it, (n, frames, 2)."""
        motion = np.broadcast_to(motion_px, self.motion_px.shape)
        along = np.einsum("nfk,nk->nf", motion, self.direction)[..., None] * self.direction[:, None, :]
        shown: Values = np.where(self.both[:, None, None], motion, along)
        return shown

    def rms_px(self, motion_px: Values) -> Values:
        """RMS over the frames that each cell knows, (n,), of a motion (n, frames, 2)."""
        squares = (motion_px**2).sum(axis=2)
        known = np.isfinite(squares)
        sums = np.where(known, squares, 0).sum(axis=1)
        size: Values = np.sqrt(sums / np.maximum(known.sum(axis=1), 1))
        return size


def follow_cells(frames: Sequence[Picture], masked: Mask) -> Cells:
    """Follow every cell of texture through frames (H, W, 3; RGB), or luma (H, W), of which the first is the reference.

    Cells overlap by half where that makes no more than 600 of them; of more, those of most texture are taken.
    """
    grey = as_luma(frames[0])
    sigma = max(estimate_noise_sigma(grey), _COMPRESSION / 2)
    side = max(_SMALLEST_SIDE_PX, 4 * round(min(grey.shape) / 26 / 4))
    corners = _textured(grey, sigma, side, masked)
    kept, rows = [], []
    for x, y in corners.tolist():
        row = _follow(frames, Region(x, y, side, side), sigma)
        if row is not None:
            kept.append((x, y))
            rows.append(row)
    count = len(frames)
    if not rows:
        empty = np.zeros((0, 2))
        return Cells(side, np.zeros((0, 2), np.int64), np.zeros((0, count, 2)), empty, np.zeros(0, bool), np.zeros(0),
                     np.zeros((0, count)))  # fmt: skip
    motion, direction, both, floor, unexplained = (np.stack(column) for column in zip(*rows, strict=True))
    return Cells(side, np.array(kept), motion, direction, both, floor, unexplained)


def _textured(grey: Values, sigma: float, side: int, masked: Mask) -> NDArray[np.int64]:
    """Corners (n, 2) of the cells that have an edge at least and are free of overlays."""
    smooth = ndimage.gaussian_filter(grey, 1.0)
    contrast = ndimage.maximum_filter(smooth, side) - ndimage.minimum_filter(smooth, side)
    slope = ndimage.uniform_filter(np.add(*(each**2 for each in np.gradient(smooth))), side)
    free = ndimage.uniform_filter(masked.astype(float), side) < _MASKED_SHARE
    best = float(np.quantile(slope[free], 0.98)) if free.any() else 0.0
    usable = free & (contrast > _LEAST_CONTRAST * max(sigma, _COMPRESSION)) & (slope > _TO_BEST**2 * best)
    half = side // 2
    for step in (half, side):
        rows = np.arange(half, grey.shape[0] - half + 1, step)
        columns = np.arange(half, grey.shape[1] - half + 1, step)
        rows, columns = rows[rows < grey.shape[0]], columns[columns < grey.shape[1]]
        at = np.argwhere(usable[np.ix_(rows, columns)])
        if len(at) <= _MOST_CELLS:
            break
    corners = np.stack([columns[at[:, 1]], rows[at[:, 0]]], axis=1) - half
    strongest = np.argsort(-slope[corners[:, 1] + half, corners[:, 0] + half], kind="stable")
    return corners[np.sort(strongest[:_MOST_CELLS])]


def _follow(
    frames: Sequence[Picture], region: Region, sigma: float
) -> tuple[Values, Values, np.bool_, np.float64, Values] | None:
    """Motion, direction, whether both are seen, noise floor and unexplained difference of a cell."""
    tracker = _tracker(frames, region, sigma)
    if tracker is None:
        return None
    found = [tracker.measure(frame) for frame in frames]
    lost = np.array([not each.converged or each.quality < _LEAST_QUALITY for each in found])
    motion = np.array([(each.x_px, each.y_px) for each in found])
    motion[lost] = np.nan
    unexplained = np.array([each.residual for each in found])
    known = unexplained[1:][~lost[1:]]
    noisier = max(1.0, float(np.median(known)) / (np.sqrt(2) * tracker.noise_sigma)) if known.size else 1.0
    floor = np.inf if lost.mean() > _MOST_LOST else noisier * tracker.coarsest_floor_px
    both = tracker.directions.shape[1] == 2
    return motion, tracker.directions[:, 0], np.bool_(both), np.float64(floor), unexplained


def _tracker(frames: Sequence[Picture], region: Region, sigma: float) -> RegionTracker | None:
    """Tracker of a cell under the noise that a few frames leave: faint texture along an edge is then none."""
    try:
        tracker = RegionTracker(frames[0], region, sigma)
        few = frames[1 :: max(1, len(frames) // _FEW)][:_FEW]
        seen = float(np.median([tracker.measure(frame).residual for frame in few])) / np.sqrt(2)
        return tracker if seen < _NOISIER * sigma else RegionTracker(frames[0], region, _NOISIER * seen)
    except RegionFault:
        return None
