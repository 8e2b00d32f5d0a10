"""Exact sub-pixel shifts and the displacement that a magnified picture reached, for judging magnifiers."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class ShiftedScene:
    """A picture that can be shifted by any amount, exactly for what its pixels can hold.

    The picture (H x W or H x W x C) is extended by its mirror image first, so that its opposite edges meet without
    a step; its spectrum is computed once and serves every shift.
    """

    def __init__(self, picture: NDArray[np.float64]) -> None:
        self._size = picture.shape[:2]
        mirrored = np.concatenate((picture, picture[::-1]), axis=0)
        mirrored = np.concatenate((mirrored, mirrored[:, ::-1]), axis=1)
        self._spectrum = scipy.fft.rfft2(mirrored, axes=(0, 1))

    def shifted(self, x_px: float, y_px: float) -> NDArray[np.float64]:
        """The picture moved right by x and down by y: the same shape, float64."""
        rows, columns = (2 * n for n in self._size)
        phase = np.exp(-2j * np.pi * scipy.fft.fftfreq(rows) * y_px)[:, None] * np.exp(
            -2j * np.pi * scipy.fft.rfftfreq(columns) * x_px
        )
        phase = phase.reshape(phase.shape + (1,) * (self._spectrum.ndim - 2))
        moved = scipy.fft.irfft2(self._spectrum * phase, s=(rows, columns), axes=(0, 1))
        picture: NDArray[np.float64] = moved[: self._size[0], : self._size[1]]
        return picture


def reached_displacement_px(
    result: NDArray[np.uint8],
    scene: NDArray[np.uint8],
    inner: tuple[slice, slice],
    angle: float,
    largest_px: float,
) -> float:
    """How far the scene has moved in the result: the shift of the scene that correlates best with it.

    Args:
        result: the magnified picture, already cut to ``inner``, h x w x 3.
        scene: the unmoved picture, H x W x 3, larger than ``inner`` by the displacement searched.
        inner: rows and columns of the scene that the result shows.
        angle: direction of the motion, in radians from x towards y.
        largest_px: end of the search, which starts at -1 px.

    Returns:
        Displacement in px along the direction.
    """
    scene_luma = ShiftedScene(scene @ _LUMA)
    wanted = _normalised(result @ _LUMA)
    x, y = float(np.cos(angle)), float(np.sin(angle))

    def mismatch(shift_px: float) -> float:
        shifted = scene_luma.shifted(shift_px * x, shift_px * y)[inner]
        return -float((_normalised(shifted) * wanted).mean())

    grid = np.arange(-1.0, largest_px + 1.0)
    best = float(grid[np.argmin([mismatch(shift) for shift in grid])])
    found = minimize_scalar(
        mismatch, bounds=(best - 1.0, best + 1.0), method="bounded", options={"xatol": 1e-3}
    )
    return float(found.x)


def _normalised(luma: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = luma - luma.mean()
    normalised: NDArray[np.float64] = centred / max(float(centred.std()), 1e-9)
    return normalised
