"""The lens, from pictures of a board: intrinsics, distortion, their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.geometry.boards import BoardSighting, CalibrationBoard
from tremorscope.calibration.geometry.pictures import Shot
from tremorscope.runtime.vibration.displacement.geometry import LENS_PARAMETERS, Lens

Values = NDArray[np.float64]

FEWEST_VIEWS = 5
_LEAST_TILT_DEG = 10.0
_WORST_FOCAL_SHARE = 0.03
_WORST_RESIDUAL_PX = 1.5
_TILT = "tilt it 20 to 40 degrees to the left, to the right, up and down, near and far"


@dataclass(frozen=True, eq=False)
class LensResult:
    """A lens, and the pictures that it rests on."""

    lens: Lens
    sightings: tuple[tuple[Shot, BoardSighting], ...]
    refused: tuple[str, ...]
    """Reasons for the pictures that were left out."""
    residuals: tuple[Values, ...]
    """Place of each corner by the lens, less that where it was seen, (n, 2) px for each view."""

    def lines(self) -> list[str]:
        """Human-readable result."""
        lens, sigmas = self.lens, self.lens.sigmas
        names = ("fx px", "fy px", "cx px", "cy px", "k1", "k2", "p1", "p2")
        digits = (2, 2, 2, 2, 5, 5, 6, 6)
        return [
            *(f"left out    {reason}" for reason in self.refused),
            f"lens        {lens.width_px}x{lens.height_px} px, {lens.views} views, "
            f"residual {lens.residual_px:.3f} px RMS",
            *(
                f"{name:<11} {value:.{n}f} ± {sigma:.{n}f}"
                for name, value, sigma, n in zip(names, lens.parameters, sigmas, digits, strict=True)
            ),
            f"covered     {self._covered():.0%} of the picture's width and height; beyond it the lens is guesswork",
        ]

    def _covered(self) -> float:
        places = np.concatenate([found.corners_px for _, found in self.sightings])
        return float(np.min(np.ptp(places, axis=0) / (self.lens.width_px, self.lens.height_px)))


def calibrate_lens(board: CalibrationBoard, shots: Sequence[Shot]) -> LensResult:
    """Find the lens from pictures of a board in different postures.

    Raises:
        CalibrationFault: too few pictures show the board, all from one side, or they contradict each other.
    """
    sightings, refused = [], []
    height_px, width_px = shots[0].picture.shape[:2]
    for shot in shots:
        if shot.picture.shape[:2] != (height_px, width_px):
            raise CalibrationFault(
                f"{shot.name}: has another size than {shots[0].name}",
                remedy="give pictures of one camera in one mode",
            )
        try:
            sightings.append((shot, board.find(shot.picture)))
        except CalibrationFault as fault:
            refused.append(f"{shot.name}: {fault.what}")
    if len(sightings) < FEWEST_VIEWS:
        first = f" ({refused[0]})" if refused else ""
        raise CalibrationFault(
            f"{len(sightings)} of {len(shots)} pictures show the board{first}",
            remedy=f"give {FEWEST_VIEWS} or more, better 12, and {_TILT}",
        )
    lens, residuals = _solve([found for _, found in sightings], (width_px, height_px), str(board))
    return LensResult(lens, tuple(sightings), tuple(refused), residuals)


def _solve(
    sightings: Sequence[BoardSighting], size: tuple[int, int], name: str
) -> tuple[Lens, tuple[Values, ...]]:
    places = [np.column_stack([each.corners_mm, np.zeros(len(each.corners_mm))]) for each in sightings]
    seen = [each.corners_px for each in sightings]
    try:
        _, matrix, distortion, turns, shifts = cv2.calibrateCamera(
            [each.astype(np.float32) for each in places],
            [each.astype(np.float32) for each in seen],
            size,
            None,
            None,
            flags=cv2.CALIB_FIX_K3,
        )
    except cv2.error:
        raise CalibrationFault("the views do not determine a lens", remedy=_TILT) from None
    normal = np.zeros((LENS_PARAMETERS, LENS_PARAMETERS))
    residuals = []
    for place, corners, turn, shift in zip(places, seen, turns, shifts, strict=True):
        drawn, slopes = cv2.projectPoints(place, turn, shift, matrix, distortion)
        residuals.append(drawn.reshape(-1, 2) - corners)
        pose, own = slopes[:, :6], slopes[:, 6 : 6 + LENS_PARAMETERS]
        # What a view tells of the lens is what its free pose cannot take up.
        normal += own.T @ (own - pose @ np.linalg.lstsq(pose, own, rcond=None)[0])
    every = np.concatenate(residuals)
    squares, count = float((every**2).sum()), every.size
    residual_px = float(np.sqrt(2 * squares / count))
    parameters = np.r_[matrix[0, 0], matrix[1, 1], matrix[:2, 2], distortion.ravel()[:4]]
    variance = squares / max(count - LENS_PARAMETERS - 6 * len(seen), 1)
    scale = 1 / np.sqrt(np.maximum(np.diag(normal), 1e-300))
    values, vectors = np.linalg.eigh(normal * np.outer(scale, scale))
    spread = (vectors * np.sqrt(variance / np.maximum(values, 1e-15))).T * scale  # (8, 8), a row each
    _check(parameters, spread, np.array([cv2.Rodrigues(each)[0][:, 2] for each in turns]), residual_px)
    lens = Lens(
        width_px=size[0],
        height_px=size[1],
        residual_px=residual_px,
        made_from=f"board {name}",
        parameters=tuple(parameters.tolist()),
        ensemble=tuple(tuple(each) for each in (parameters + spread).tolist()),
        views=len(seen),
    )
    return lens, tuple(residuals)


def _check(parameters: Values, spread: Values, normals: Values, residual_px: float) -> None:
    widest_deg = float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1)).max()))
    focal_share = float(np.sqrt((spread[:, 0] ** 2).sum()) / parameters[0])
    if widest_deg < _LEAST_TILT_DEG or not focal_share < _WORST_FOCAL_SHARE:
        raise CalibrationFault(
            f"the views show the board from one side ({widest_deg:.0f} degrees between them): "
            f"the focal length is known to {100 * focal_share:.2g} % alone",
            remedy=_TILT,
        )
    if residual_px > _WORST_RESIDUAL_PX:
        raise CalibrationFault(
            f"the corners lie {residual_px:.1f} px off what any lens of this kind shows",
            remedy="leave out blurred pictures, keep the board flat; a fisheye lens is not supported",
        )
