"""Samples for the measurement of ranges: tiles of pairs at full resolution, each at an amplification.

A full-HD frame has 130,000 cells, far more than a range needs, and neighbours are alike: a few tiles of many frames
hold more information than few whole frames. Half of the tiles lie anywhere, half where the change is largest, since
motion is rare in a picture and decides the range of the amplified tensors. Amplification is log-uniform over the
deployed range, limited to the magnified motion that networks are trained for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.pairs.calibration_set import CalibrationPair, Picture, luma_of
from tremorscope.runtime.engines.interface.manifest import AmplificationRange
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region, RegionFault

_CANDIDATES = 8
FARTHEST_PX = 30.0
"""Largest magnified motion of the training."""
_REGION_PX = 64
_TRUSTED_QUALITY = 0.8
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_ALIGNED_PX = 8


@dataclass(frozen=True)
class Sampling:
    """Settings of the choice of tiles."""

    tile_px: int = 256
    tiles_a_pair: int = 4
    margin_px: int = 32
    """Margin left out along cut edges of a tile, where convolutions see the zero padding."""
    seed: int = 0


@dataclass(frozen=True)
class Sample:
    """A tile at an amplification."""

    frame: Picture
    reference: Picture
    amplification: float
    margins_px: tuple[int, int, int, int]
    """Margins at the top, bottom, left and right of the tile that are left out."""

    def inner(self, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
        """Part of a tensor 1 x C x h x w of the tile that lies inside the margins."""
        height, width = tensor.shape[2:]
        cell_px = -(-self.frame.shape[0] // height)
        top, bottom, left, right = (-(-margin // cell_px) for margin in self.margins_px)
        return tensor[:, :, top : height - bottom, left : width - right]


def samples_of(
    pair: CalibrationPair, index: int, amplification: AmplificationRange, sampling: Sampling
) -> Iterator[Sample]:
    """The samples of a pair; they depend on the pair, its index in the set and the arguments alone."""
    rng = np.random.default_rng((sampling.seed, index))
    change = np.abs(luma_of(pair.frame) - luma_of(pair.reference))
    for number in range(sampling.tiles_a_pair):
        top, left = _place(rng, change, sampling.tile_px, where_most_changed=number % 2 == 1)
        rows, columns = slice(top, top + sampling.tile_px), slice(left, left + sampling.tile_px)
        frame, reference = pair.frame[rows, columns], pair.reference[rows, columns]
        share = ((index * sampling.tiles_a_pair + number) * _GOLDEN) % 1.0
        wanted = amplification.minimum * (amplification.maximum / amplification.minimum) ** share
        moved_px = (
            largest_displacement_px(frame, reference)
            if pair.displacement_px is None
            else pair.displacement_px
        )
        bearable = FARTHEST_PX / moved_px if moved_px > 0 else math.inf
        margins = _margins(pair.frame.shape, frame.shape, top, left, sampling.margin_px)
        yield Sample(frame, reference, max(amplification.minimum, min(wanted, bearable)), margins)


def largest_displacement_px(frame: Picture, reference: Picture) -> float:
    """Largest displacement measured reliably in any part of a tile; 0 if there is none."""
    height, width = frame.shape[:2]
    side = min(_REGION_PX, height, width)
    found = [0.0]
    for top in range(0, height - side + 1, side):
        for left in range(0, width - side + 1, side):
            try:
                tracker = RegionTracker(reference, Region(left, top, side, side))
            except RegionFault:  # no texture to measure motion by
                continue
            moved = tracker.measure(frame)
            if moved.converged and moved.quality > _TRUSTED_QUALITY:
                found.append(math.hypot(moved.x_px, moved.y_px))
    return max(found)


def _place(
    rng: np.random.Generator, change: NDArray[np.float32], tile_px: int, where_most_changed: bool
) -> tuple[int, int]:
    height, width = change.shape
    candidates = [
        (_anywhere(rng, height - tile_px), _anywhere(rng, width - tile_px))
        for _ in range(_CANDIDATES if where_most_changed else 1)
    ]
    return max(
        candidates, key=lambda at: float(change[at[0] : at[0] + tile_px, at[1] : at[1] + tile_px].mean())
    )


def _anywhere(rng: np.random.Generator, room_px: int) -> int:
    """A random position on the grid of cells, so that the tile's cells are cells of the picture."""
    if room_px <= 0:
        return 0
    place = int(rng.integers(room_px + _ALIGNED_PX)) // _ALIGNED_PX * _ALIGNED_PX
    return min(place, room_px // _ALIGNED_PX * _ALIGNED_PX)


def _margins(
    picture: tuple[int, ...], tile: tuple[int, ...], top: int, left: int, margin_px: int
) -> tuple[int, int, int, int]:
    bottom, right = picture[0] - top - tile[0], picture[1] - left - tile[1]
    above, below, before, behind = (min(margin_px, beyond) for beyond in (top, bottom, left, right))
    return above, below, before, behind
