"""Exact sub-pixel shifts, rotation and scaling of pictures, and the displacement that a magnified picture reached."""

from __future__ import annotations

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


class ShiftedScene:
    """A picture with exact shifts by any sub-pixel amount, by its Fourier series.

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


def shifted_rows(picture: NDArray[np.float64], shift_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift each row (S x S x 3) right by its own shift (S), exactly; rows are continued by their mirror image."""
    columns = picture.shape[1]
    spectrum = scipy.fft.rfft(np.concatenate((picture, picture[:, ::-1]), axis=1), axis=1)
    phase = np.exp(-2j * np.pi * scipy.fft.rfftfreq(2 * columns) * shift_px[:, None])
    moved: NDArray[np.float64] = scipy.fft.irfft(spectrum * phase[..., None], 2 * columns, axis=1)[
        :, :columns
    ]
    return moved


def turned(picture: NDArray[np.float64], radians: float) -> NDArray[np.float64]:
    """Rotate about the middle from x towards y, by three shears (Paeth, Graphics Interface 1986)."""
    from_middle = np.arange(len(picture)) - (len(picture) - 1) / 2
    lean, rise = -np.tan(radians / 2) * from_middle, np.sin(radians) * from_middle
    leant = shifted_rows(picture, lean)
    risen = shifted_rows(leant.transpose(1, 0, 2), rise).transpose(1, 0, 2)
    return shifted_rows(risen, lean)


def scaled(picture: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Scale about the middle by the trigonometric polynomial of the mirrored picture."""
    side = len(picture)
    middle = (side - 1) / 2
    at = (np.arange(side) - middle) / scale + middle
    # The even (mirrored) polynomial through the samples: a cosine transform, evaluated between them.
    order = np.arange(side)
    basis = np.cos(np.pi * order * (at[:, None] + 0.5) / side) @ (
        scipy.fft.dct(np.eye(side), axis=0) / side * np.where(order == 0, 0.5, 1.0)[:, None]
    )
    return np.asarray(np.einsum("ij,jkc,lk->ilc", basis, picture, basis, optimize=True), dtype=np.float64)


def reached_displacement_px(
    result: NDArray[np.uint8],
    scene: NDArray[np.float64],
    inner: tuple[slice, slice],
    angle: float,
    largest_px: float,
) -> float:
    """Displacement of a scene in a result: the shift of the scene that correlates best with it, in luma.

    Args:
        result: the magnified picture, already cut to ``inner``, h x w x 3.
        scene: the unmoved picture, H x W x 3, larger than ``inner`` on all sides by the displacement searched.
        inner: rows and columns of the scene that the result shows.
        angle: direction of the motion, in radians from x towards y.
        largest_px: end of the search, which starts at -1 px.

    Returns:
        Displacement in px along the direction.
    """
    luma = scene @ _LUMA
    rows, columns = inner[0].indices(luma.shape[0]), inner[1].indices(luma.shape[1])
    margin = min(rows[0], columns[0], luma.shape[0] - rows[1], luma.shape[1] - columns[1])
    # Opposite edges of the scene must meet without a step, as far from what is shown as there is room.
    luma = (luma - luma.mean()) * _taper(luma.shape, max(1, int(margin - largest_px)))
    shown, window = np.zeros_like(luma), np.zeros_like(luma)
    wanted = result @ _LUMA
    shown[inner], window[inner] = wanted - wanted.mean(), 1.0
    spectrum = np.conj(scipy.fft.fft2(luma))
    products = np.stack(
        (
            scipy.fft.fft2(shown) * spectrum,
            scipy.fft.fft2(window) * spectrum,
            scipy.fft.fft2(window) * np.conj(scipy.fft.fft2(luma**2)),
        )
    ) / (window.sum() * luma.size)
    y_turns, x_turns = (2j * np.pi * scipy.fft.fftfreq(side) for side in luma.shape)

    def mismatch(shift_px: float) -> float:
        x, y = np.exp(x_turns * shift_px * np.cos(angle)), np.exp(y_turns * shift_px * np.sin(angle))
        covariance, mean, square = (products @ x @ y).real
        return -float(covariance / np.sqrt(max(square - mean**2, 1e-9)))

    grid = np.arange(-1.0, largest_px + 1.0)
    best = float(grid[np.argmin([mismatch(shift) for shift in grid])])
    found = minimize_scalar(
        mismatch, bounds=(best - 1.0, best + 1.0), method="bounded", options={"xatol": 1e-3}
    )
    return float(found.x)


def _taper(shape: tuple[int, ...], width_px: int) -> NDArray[np.float64]:
    """One in the middle, falling smoothly to zero over the outermost pixels."""
    ramps = []
    for side in shape:
        inwards = np.minimum(np.arange(side), np.arange(side)[::-1]) / width_px
        ramps.append(0.5 - 0.5 * np.cos(np.pi * np.minimum(inwards, 1.0)))
    taper: NDArray[np.float64] = np.outer(*ramps)
    return taper
