"""The noise floor of a magnifier: apparent motion in a motionless scene, as motion of the scene.

A motionless picture is filmed twice with independent noise, and magnified. The result is registered, block by block, on
the clean picture. The RMS of the displacements found, over both axes and all blocks, divided by the
amplification, is the noise floor in px: true motion of that size would show as much.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter

from tremorscope.calibration.pairs.calibration_set import Picture, luma_of
from tremorscope.model.evaluation.evaluate import Magnifier

BLOCK_PX = 48
BLOCKS_A_PICTURE = 8
"""Number of blocks, those with the most texture along both axes; motion cannot be measured without texture."""
_BORDER_PX = 16
_STEPS = 12
_FARTHEST_PX = 16.0

Luma = NDArray[np.float32]


def noise_floor_px(
    magnify: Magnifier,
    pictures: Sequence[Picture],
    amplification: float,
    noise_grey_levels: float,
    seed: int = 0,
) -> float:
    """The noise floor in px RMS, along either axis; the same seed films the same noise.

    Args:
        magnify: the magnifier.
        pictures: u8[H, W, 3] each.
        amplification: of the magnifier.
        noise_grey_levels: standard deviation of the noise on both frames.
    """
    squares = []
    for number, picture in enumerate(pictures):
        rng = np.random.default_rng((seed, number))
        reference, frame = (_noisy(rng, picture, noise_grey_levels) for _ in range(2))
        found = apparent_displacements_px(magnify(frame, reference, amplification), picture)
        squares.append((found**2).mean())
    return float(np.sqrt(np.mean(squares)) / amplification)


def apparent_displacements_px(result: Picture, scene: Picture) -> NDArray[np.float64]:
    """Displacement of each textured block of a scene in a result: blocks x 2 (x, y)."""
    clean, seen = luma_of(scene).astype(np.float64), luma_of(result).astype(np.float64)
    coefficients = spline_filter(clean, order=3)
    return np.array([_register(coefficients, seen, top, left) for top, left in _textured_blocks(clean)])


def _noisy(rng: np.random.Generator, picture: Picture, sigma: float) -> Picture:
    return np.clip(np.rint(picture + rng.normal(0.0, sigma, picture.shape)), 0, 255).astype(np.uint8)


def _textured_blocks(luma: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Tops and lefts of the blocks whose weaker axis has the most texture (Shi and Tomasi, CVPR 1994)."""
    gy, gx = np.gradient(luma, axis=0), np.gradient(luma, axis=1)
    blocks = []
    for top in range(_BORDER_PX, luma.shape[0] - _BORDER_PX - BLOCK_PX + 1, BLOCK_PX):
        for left in range(_BORDER_PX, luma.shape[1] - _BORDER_PX - BLOCK_PX + 1, BLOCK_PX):
            place = slice(top, top + BLOCK_PX), slice(left, left + BLOCK_PX)
            xx, yy, xy = ((a[place] * b[place]).sum() for a, b in ((gx, gx), (gy, gy), (gx, gy)))
            weaker = (xx + yy) / 2 - np.hypot((xx - yy) / 2, xy)
            blocks.append((float(weaker), top, left))
    blocks.sort(reverse=True)
    return [(top, left) for _, top, left in blocks[:BLOCKS_A_PICTURE]]


def _register(
    coefficients: NDArray[np.float64], seen: NDArray[np.float64], top: int, left: int
) -> NDArray[np.float64]:
    """Displacement (x, y) of a block by least squares on gradients, with gain and offset of brightness free."""
    y, x = np.mgrid[top : top + BLOCK_PX, left : left + BLOCK_PX].astype(np.float64)
    wanted = seen[top : top + BLOCK_PX, left : left + BLOCK_PX].ravel()
    shift, best = np.zeros(2), np.zeros(2)
    least = float("inf")
    for _ in range(_STEPS):
        moved = map_coordinates(
            coefficients, [y - shift[1], x - shift[0]], order=3, mode="nearest", prefilter=False
        )
        gy, gx = np.gradient(moved)
        system = np.stack((-gx.ravel(), -gy.ravel(), moved.ravel(), np.ones(moved.size)), axis=1)
        solution, *_ = np.linalg.lstsq(system, wanted, rcond=None)
        brightness = system[:, 2:]
        gain_offset, *_ = np.linalg.lstsq(brightness, wanted, rcond=None)
        residual = float(((brightness @ gain_offset - wanted) ** 2).mean())
        if residual < least:
            best, least = shift.copy(), residual
        step = solution[:2] / max(abs(solution[2]), 0.1)
        shift = np.clip(shift + np.clip(step, -2.0, 2.0), -_FARTHEST_PX, _FARTHEST_PX)
        if np.hypot(*step) < 1e-4:
            break
    return best
