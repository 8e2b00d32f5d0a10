"""Segmentation of a picture by agreement of motion: the background that moves as one, and the parts that do not.

What moves alike belongs together, and a cell that fits no neighbour straddles two bodies. The background is the
largest consistent set of cells under one motion of the camera, found by random sampling (Fischler and Bolles,
"Random Sample Consensus", CACM 24(6), 1981) over all frames at once, so that a structure that happens to stand
still in one frame is not taken for it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy  # its rooms are loaded by those who enter them, see `vibration.monitoring.limits`
from numpy.typing import NDArray

from tremorscope.runtime.vibration.displacement.cells import Cells, follow_cells
from tremorscope.runtime.vibration.displacement.overlays import Mask, find_overlays
from tremorscope.runtime.vibration.displacement.regions import Region

Picture = NDArray[Any]
Values = NDArray[np.float64]
Labels = NDArray[np.int64]

BACKGROUND, MIXED = 0, -1
_TRIALS = 240
_MOST_FRAMES = 10
_SURELY = 3.0
"""Multiple of the noise floor above which two motions differ."""
_BACKGROUND_SHARE, _BACKGROUND_SPREAD = 0.3, 0.6
"""Shares of the cells, and of the width that they span, from which on what moves alike is the background."""
_BLUNT_PX = 0.03
"""Difference of motion, RMS, that is not looked into: interpolation and compression."""
_ALIKE = 0.25
"""Difference of two neighbours, as a share of their motion, up to which they are one part: structures bend."""
_CAMERA_SHARE = 0.03
"""Difference from the camera's motion, as a share of it, that parallax and lens leave."""
_FEW = 0.15
"""Share of the cells of a region whose motion may be unsure."""
_FEWEST_CELLS = 2
_RESIDUE_MOVES = 1.5
"""Ratio of what is unexplained in the frames of most and of least motion, above which a cell is no rigid part."""


@dataclass(frozen=True, eq=False)
class SegmentedScene:
    """Cells of a picture, the part that each belongs to, and the camera's own motion."""

    cells: Cells
    label: Labels
    """(n,): 0 the background, 1 and up a part that moves by itself, -1 what follows no rigid motion."""
    camera_px: Values
    """The motion of the background at each cell, (n, frames, 2)."""
    own_px: Values
    """The motion of each cell against the background, (n, frames, 2)."""
    masked: Mask
    """(H, W), True where a recorder wrote over the picture."""

    @property
    def surely_px(self) -> Values:
        """Own motion of each cell over its noise floor, (n,)."""
        ratio: Values = self.cells.rms_px(self.own_px) / np.maximum(self.cells.floor_px, 1e-9)
        return ratio


def segment(frames: Sequence[Picture]) -> SegmentedScene:
    """Segment frames of one recording by their motion: (H, W, 3; RGB) or luma (H, W), the first the reference."""
    masked = find_overlays(frames)
    cells = follow_cells(
        [frames[0], *frames[1 :: max(1, math.ceil((len(frames) - 1) / _MOST_FRAMES))]], masked
    )
    camera = _camera(cells)
    own = cells.motion_px - cells.seen(camera)
    sizes = cells.rms_px(own)
    allowed = _allowed(cells, camera)
    label = np.full(sizes.size, MIXED)
    moving = cells.followed & (sizes > allowed) & ~_residue_moves(cells, own)
    label[cells.followed & (sizes <= allowed)] = BACKGROUND
    label[moving] = _parts(cells, own, np.flatnonzero(moving))
    return SegmentedScene(cells, label, camera, own, masked)


def _allowed(cells: Cells, camera: Values) -> Values:
    """Difference from the background's motion, RMS, that is still its own, (n,)."""
    shake = cells.rms_px(camera)
    wide: Values = np.maximum(_SURELY * cells.floor_px, _BLUNT_PX) + _CAMERA_SHARE * shake
    return wide


def _camera(cells: Cells) -> Values:
    """The camera's motion at each cell, (n, frames, 2): the similarity that most cells follow in all frames."""
    count, frames = cells.motion_px.shape[:2]
    whole = np.flatnonzero(cells.followed & cells.both & np.isfinite(cells.motion_px).all(axis=(1, 2)))
    best = np.zeros((count, frames, 2))
    most = _score(cells, best)
    rng = np.random.default_rng(0)
    for _ in range(_TRIALS if whole.size >= 2 else 0):
        pair = rng.choice(whole, 2, replace=False)
        similar = np.linalg.norm(np.subtract(*cells.centre_px[pair])) > 6 * cells.side_px
        motion = _fitted(cells, pair) if similar else np.broadcast_to(cells.motion_px[pair[0]], best.shape)
        score = _score(cells, motion)
        if score > most * 1.05 + 1:
            best, most = motion, score
    if not best.any() or not _is_background(cells, _agree(cells, best)):
        return np.zeros((count, frames, 2))
    for _ in range(3):
        inside = np.intersect1d(whole, np.flatnonzero(_agree(cells, best)))
        if inside.size < 3:
            break
        best = _fitted(cells, inside)
    return best


def _is_background(cells: Cells, chosen: Mask) -> bool:
    """True if cells are so many, and so far spread, that what they share is the camera's motion."""
    places, all_places = cells.centre_px[chosen], cells.centre_px[cells.followed]
    wide = np.ptp(places, axis=0).max() > _BACKGROUND_SPREAD * np.ptp(all_places, axis=0).max()
    return bool(wide and chosen.sum() > _BACKGROUND_SHARE * cells.followed.sum())


def _agree(cells: Cells, camera: Values) -> Mask:
    rest = cells.rms_px(cells.motion_px - cells.seen(camera))
    return cells.followed & (rest <= _allowed(cells, camera))


def _score(cells: Cells, camera: Values) -> float:
    """Number of cells that follow a motion; one direction counts half."""
    return float((_agree(cells, camera) * np.where(cells.both, 1.0, 0.5)).sum())


def _fitted(cells: Cells, chosen: NDArray[np.int64]) -> Values:
    """The similarity of least squares through some cells, at all cells, frame by frame, (n, frames, 2)."""
    centre = cells.centre_px[chosen].mean(axis=0)
    places = cells.centre_px - centre
    turning = np.stack([places, np.stack([-places[:, 1], places[:, 0]], axis=1)], axis=2)  # (n, 2, zoom/roll)
    rows = np.concatenate([np.broadcast_to(np.eye(2), (len(places), 2, 2)), turning], axis=2)  # (n, 2, 4)
    weights = 1 / np.maximum(cells.floor_px[chosen], 1e-3)[:, None, None]
    design = (rows[chosen] * weights).reshape(-1, 4)
    seen = (np.moveaxis(cells.motion_px[chosen], 2, 1) * weights).reshape(-1, cells.motion_px.shape[1])
    parameters = np.linalg.lstsq(design, seen, rcond=None)[0]  # (4, frames)
    fitted: Values = np.moveaxis(rows @ parameters, 1, 2)
    return fitted


def _residue_moves(cells: Cells, own: Values) -> Mask:
    """(n,), True where what the match leaves unexplained grows with the motion: two bodies in one cell."""
    size = np.sqrt((own**2).sum(axis=2))
    order = np.argsort(np.where(np.isfinite(size), size, -1), axis=1)
    sorted_rest = np.take_along_axis(cells.unexplained, order, axis=1)[:, 1:]
    third = max(1, sorted_rest.shape[1] // 3)
    least, most = sorted_rest[:, :third].mean(axis=1), sorted_rest[:, -third:].mean(axis=1)
    grown: Mask = most > _RESIDUE_MOVES * np.maximum(least, 1e-9)
    return grown


def _parts(cells: Cells, own: Values, moving: NDArray[np.int64]) -> Labels:
    """Number of the part of each moving cell, from 1: neighbours whose motions agree; one without any is mixed."""
    if moving.size == 0:
        return np.zeros(0, np.int64)
    tree = scipy.spatial.cKDTree(cells.centre_px[moving])
    pairs = moving[tree.query_pairs(1.6 * cells.side_px, output_type="ndarray")].reshape(-1, 2)
    joined = pairs[agreement(cells, own, pairs[:, 0], pairs[:, 1])]
    place = np.zeros(len(own), np.int64)
    place[moving] = np.arange(moving.size)
    graph = scipy.sparse.coo_matrix((np.ones(len(joined)), place[joined].T), (moving.size, moving.size))
    group = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
    large = np.bincount(group) >= _FEWEST_CELLS
    labels: Labels = np.where(large[group], (large.cumsum())[group], MIXED)
    return labels


def agreement(cells: Cells, own: Values, first: NDArray[np.int64], second: NDArray[np.int64]) -> Mask:
    """True for each pair of cells whose motions agree as far as both see them; not where they see nothing alike."""
    both_see = cells.both[first] | cells.both[second]
    cosine = np.abs((cells.direction[first] * cells.direction[second]).sum(axis=1))
    comparable = both_see | (cosine > 0.9)
    # Each motion as the other cell would see it; where both see all, nothing is taken away.
    one, other = _as_seen_by(cells, own[first], second), _as_seen_by(cells, own[second], first)
    apart, sizes = _rms(one - other), np.maximum(_rms(one), _rms(other))
    floor = np.hypot(cells.floor_px[first], cells.floor_px[second])
    agree: Mask = comparable & (apart <= np.maximum(_SURELY * floor, _ALIKE * sizes))
    return agree


def _as_seen_by(cells: Cells, motion: Values, viewer: NDArray[np.int64]) -> Values:
    direction = cells.direction[viewer]
    along = np.einsum("nfk,nk->nf", motion, direction)[..., None] * direction[:, None, :]
    shown: Values = np.where(cells.both[viewer][:, None, None], motion, along)
    return shown


def _rms(motion: Values) -> Values:
    squares = (motion**2).sum(axis=2)
    known = np.isfinite(squares)
    size: Values = np.sqrt(np.where(known, squares, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))
    return size


def homogeneous(scene: SegmentedScene, region: Region, part: int) -> bool:
    """True if the texture in a region belongs to one part, whose cells there move alike but for a few."""
    inside = np.flatnonzero(scene.cells.within(region))
    label = scene.label[inside]
    members = inside[label == part]
    if not members.size or (label == MIXED).mean() > _FEW or ((label != part) & (label != MIXED)).any():
        return False
    lead = members[np.argmax(scene.surely_px[members])]
    alike = agreement(scene.cells, scene.own_px, np.full(members.size, lead), members)
    return part == BACKGROUND or bool(1 - alike.mean() <= _FEW)
