"""Weights that turn a region's brightness into displacement, and how well they do beside what is possible."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.vibration.displacement.windows import MARGIN_PX, SLOPE_KERNEL, Luma

_SMOOTHINGS = (
    np.array([1.0, -6.0, 15.0, 44.0, 15.0, -6.0, 1.0]) / 64,
    np.array([0.0, 1.0, 4.0, 6.0, 4.0, 1.0, 0.0]) / 16,
)
"""Kernels by which slopes are smoothed, sharp and soft: the latter is better where noise hides fine texture. Both leave
out the finest detail, beyond 0.4 cycles/px, where no resampling is exact."""
REFERENCE_MARGIN_PX = MARGIN_PX + 3
"""Surroundings of a region, on every side, that its slopes are made from."""
_SLOPED_SIDE_PX = 24
"""Sides of at least this length are solved for a slope of brightness along them."""
_COARSEST_NOISE_FLOOR_PX = 0.1
"""A direction in which one frame's noise alone would move the result by more than this is not measurable."""


@dataclass(frozen=True, eq=False)
class Weights:
    """Weights of a region's pixels, and the standard deviations that one frame's noise causes with them."""

    solver: Luma
    """(2, pixels): a region less its reference, times this, is contrast times the step along x and y."""
    directions: Luma
    """Unit vectors (x, y) along which motion is seen, (2, 0 to 2)."""
    floors_px: Luma
    """Standard deviations along them."""
    deviations_px: Luma
    """Standard deviations along x and y, (2,); infinite where a direction that is not seen has a part in the axis."""
    bounds_px: Luma
    """Cramer-Rao bound of those; likewise."""


def best_weights(surroundings: Luma, noise_sigma: float, reference_sigma: float) -> Weights:
    """The weights of the least deviation for a reference, (H + 26, W + 26): its region and a margin on every side.

    Slopes of the reference, smoothed as far as noise demands, are the weights. Changes of light are projected out of
    them, which solves for motion and light at once. No direction is seen where there is no texture.

    Args:
        surroundings: luma of the reference.
        noise_sigma: standard deviation of a frame's noise, in grey levels.
        reference_sigma: of the reference's own, which is less where it is a mean of frames.
    """
    light = _changes_of_light(_inner(surroundings))
    slopes = _slopes(surroundings, light)
    fits = [_fit(surroundings, slopes, light, each, (noise_sigma, reference_sigma)) for each in _SMOOTHINGS]
    return max(fits, key=lambda fit: (fit.floors_px.size, -float((fit.floors_px**2).sum())))


def _fit(
    surroundings: Luma, slopes: Luma, light: Luma, smoothing: Luma, sigmas: tuple[float, float]
) -> Weights:
    noise_sigma, reference_sigma = sigmas
    for axis in (0, 1):
        surroundings = ndimage.correlate1d(surroundings, smoothing, axis=axis)
    weights = _slopes(surroundings, light)
    count = reference_sigma**2 * slopes.shape[1]
    # The weights respond to the slopes of the reference's noise too, but those carry no motion.
    of_noise = count * float(smoothing[3] * np.convolve(smoothing, SLOPE_KERNEL)[3:-3] @ SLOPE_KERNEL)
    strengths, directions = np.linalg.eigh(weights @ weights.T)
    response = directions.T @ (weights @ slopes.T) @ directions
    seen = np.diag(response) - of_noise
    floors = noise_sigma * np.sqrt(np.maximum(strengths, 0)) / np.maximum(seen, 1e-12)
    usable = (seen > of_noise) & (floors < _COARSEST_NOISE_FLOOR_PX)
    kept = directions[:, usable]
    inside = np.ix_(usable, usable)
    solver: Luma = kept @ np.linalg.solve(response[inside], kept.T @ weights)
    of_motion = np.linalg.inv(response[inside] - of_noise * np.eye(kept.shape[1])) @ (kept.T @ weights)
    deviations = noise_sigma * np.sqrt(((kept @ of_motion) ** 2).sum(axis=1))
    information = kept.T @ (slopes @ slopes.T) @ kept - count * (SLOPE_KERNEL @ SLOPE_KERNEL) * np.eye(
        kept.shape[1]
    )
    bounds = noise_sigma * np.sqrt(np.maximum(np.diag(kept @ np.linalg.pinv(information) @ kept.T), 0))
    # An axis counts as measured only where no direction that was dropped has a part in it.
    blind = np.abs(directions[:, ~usable]).max(axis=1, initial=0.0) > 0.1
    deviations[blind] = bounds[blind] = math.inf
    return Weights(solver, kept, floors[usable], deviations, np.minimum(bounds, deviations))


def _changes_of_light(template: Luma) -> Luma:
    """Orthonormal basis, (pixels, up to 4), of changes of gain, offset and slopes of brightness."""
    rows, columns = template.shape
    centred = (template - template.mean()).ravel()
    down = np.repeat(np.linspace(-1, 1, rows), columns)
    across = np.tile(np.linspace(-1, 1, columns), rows)
    contrast = centred / max(centred.std(), 1e-12)
    # Across a few pixels the structure itself is little more than a slope.
    slopes = [ramp for ramp, side in ((across, columns), (down, rows)) if side >= _SLOPED_SIDE_PX]
    pictures = np.stack([np.ones(down.size), contrast, *slopes], axis=1)
    axes, strengths, _ = np.linalg.svd(pictures, full_matrices=False)
    independent: Luma = axes[:, strengths > 1e-6 * strengths[0]]
    return independent


def _slopes(surroundings: Luma, light: Luma) -> Luma:
    """Slopes along x and y, (2, pixels), orthogonal to every change of light."""
    slopes = np.stack(
        [_inner(ndimage.correlate1d(surroundings, SLOPE_KERNEL, axis=axis)).ravel() for axis in (1, 0)]
    )
    slopes -= slopes @ light @ light.T
    return slopes


def _inner(surroundings: NDArray[np.float64]) -> Luma:
    """The region within its surroundings."""
    inner = slice(REFERENCE_MARGIN_PX, -REFERENCE_MARGIN_PX)
    kept: Luma = surroundings[inner, inner].copy()
    return kept
