"""Drawn calibration pairs, for a bundle without a captured set: scenes like those of training, at any frame size.

A frame is a mosaic of tiles. Each tile is a scene like those of the training (a background and moving shapes with
soft outlines), moved exactly; tiles are drawn once, then rotated and combined anew for every pair. Size of the motion,
light, flicker and sensor noise are drawn for every pair.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from tremorscope.calibration.pairs.calibration_set import CalibrationPair, Picture
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.pairs.layers import Masks, Textures
from tremorscope.model.pairs.randomness import uniform
from tremorscope.model.pairs.settings import PairSettings
from tremorscope.runtime.engines.interface.manifest import FrameSize

SMALLEST_PX, LARGEST_PX = 0.01, 2.0
"""Displacements between frame and reference, spread evenly in their logarithm."""
_LEVELS = 12
_MOST_TILES_A_LEVEL = 20
_PICTURES = 16
_PICTURE_PX = 384
_TILE = PairSettings(patch_px=128, foreground_layers=2, magnified_motion_max_px=LARGEST_PX)
_STILL_SHARE = 0.25
_MOST_NOISE_GREY_LEVELS = 5.0

Tiles = NDArray[np.float32]
"""N x 2 x P x P x 3 in grey levels, neither noisy nor rounded: each tile's reference and frame."""


def draw(size: FrameSize, count: int, seed: int = 0, *, first: int = 0) -> Iterator[CalibrationPair]:
    """Pairs ``first`` to ``count`` of a size; pair i depends on the seed and i alone."""
    bank = _TileBank(seed, size)
    for index in range(first, count):
        rng = np.random.default_rng((seed, index))
        # Displacements in a mixed order, so that a short set has small and large motion alike.
        level = (index * 5) % _LEVELS
        pair = _mosaic(rng, bank.tiles(level), size)
        light = math.exp(rng.uniform(math.log(0.25), math.log(1.15)))
        flicker = 1.0 + (rng.uniform(-0.02, 0.02) if rng.random() < 0.3 else 0.0)
        noise = _MOST_NOISE_GREY_LEVELS * rng.random() ** 2
        reference = _film(rng, pair[0] * np.float32(light), noise)
        frame = _film(rng, pair[1] * np.float32(light * flicker), noise)
        yield CalibrationPair(frame, reference, "dynamic", displacement_of(level))


def displacement_of(level: int) -> float:
    """The largest displacement in the tiles of a level, in px."""
    return float(SMALLEST_PX * (LARGEST_PX / SMALLEST_PX) ** (level / (_LEVELS - 1)))


class _TileBank:
    """Tiles of each level of displacement, drawn on first use."""

    def __init__(self, seed: int, size: FrameSize) -> None:
        self._seed = seed
        shown = math.ceil(size.width_px / _TILE.patch_px) * math.ceil(size.height_px / _TILE.patch_px)
        self._count = min(_MOST_TILES_A_LEVEL, 4 * shown)
        self._pictures: list[torch.Tensor] = []
        self._tiles: dict[int, Tiles] = {}

    def tiles(self, level: int) -> Tiles:
        """The tiles of a level."""
        if not self._pictures:
            self._pictures = [
                torch.from_numpy(draw_picture(self._seed + number, _PICTURE_PX)).permute(2, 0, 1)
                for number in range(_PICTURES)
            ]
        if level not in self._tiles:
            rng = torch.Generator().manual_seed(self._seed * _LEVELS + level)
            self._tiles[level] = _draw_tiles(rng, self._pictures, self._count, displacement_of(level))
        return self._tiles[level]


@torch.no_grad()
def _draw_tiles(
    rng: torch.Generator, pictures: list[torch.Tensor], count: int, displacement_px: float
) -> Tiles:
    layers, device = 1 + _TILE.foreground_layers, torch.device("cpu")
    textures = Textures.draw(rng, pictures, _TILE, count, layers, device)
    masks = Masks.draw(rng, _TILE, count, layers - 1, device)
    shape = (count, layers)
    length = displacement_px * uniform(rng, shape, 0.5, 1.0)
    length = torch.where(torch.rand(shape, generator=rng) < _STILL_SHARE, 0.0, length)
    angle = uniform(rng, shape, 0.0, 2 * math.pi)
    shift = torch.stack((length * angle.cos(), length * angle.sin()), dim=-1)
    views = [_compose(textures, masks, each) for each in (torch.zeros_like(shift), shift)]
    tiles: Tiles = (torch.stack(views, dim=1).permute(0, 1, 3, 4, 2) * 255.0).contiguous().numpy()
    return tiles


def _compose(textures: Textures, masks: Masks, shift_px: torch.Tensor) -> torch.Tensor:
    """Layers moved by N x L x 2 px, one over the other: N x 3 x P x P in [0, 1]."""
    colours, coverage = textures.render(shift_px), masks.render(shift_px[:, 1:])
    picture = colours[:, 0]
    for layer in range(coverage.shape[1]):
        picture = torch.lerp(picture, colours[:, layer + 1], coverage[:, layer])
    return picture.clamp(0.0, 1.0)


def _mosaic(rng: np.random.Generator, tiles: Tiles, size: FrameSize) -> NDArray[np.float32]:
    """Tiles chosen and rotated at random, side by side: 2 x H x W x 3."""
    side = tiles.shape[2]
    rows, columns = -(-size.height_px // side), -(-size.width_px // side)
    mosaic = np.empty((2, rows * side, columns * side, 3), np.float32)
    for row in range(rows):
        for column in range(columns):
            tile = np.rot90(tiles[rng.integers(len(tiles))], int(rng.integers(4)), axes=(1, 2))
            if rng.random() < 0.5:
                tile = tile[:, ::-1]
            mosaic[:, row * side : (row + 1) * side, column * side : (column + 1) * side] = tile
    top = int(rng.integers(rows * side - size.height_px + 1))
    left = int(rng.integers(columns * side - size.width_px + 1))
    return mosaic[:, top : top + size.height_px, left : left + size.width_px]


def _film(rng: np.random.Generator, picture: NDArray[np.float32], noise_grey_levels: float) -> Picture:
    """Add shot noise, whose variance grows with the light, and round to 8 bits."""
    noise = rng.standard_normal(picture.shape, np.float32)
    noise *= np.sqrt(np.maximum(picture, 0.0) / np.float32(127.5)) * np.float32(noise_grey_levels)
    noise += picture
    return np.clip(np.rint(noise, out=noise), 0, 255, out=noise).astype(np.uint8)
