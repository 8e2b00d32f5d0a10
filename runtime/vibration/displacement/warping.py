"""OpenCV behind two functions: where features of a reference went, and pictures laid back onto it exactly.

OpenCV is an extra, imported here alone and only when a camera's motion is to be taken out.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.overlays import Mask
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import as_luma

CameraModel = Literal["translation", "similarity", "homography"]
CAMERA_MODELS: tuple[CameraModel, ...] = get_args(CameraModel)
Matrix = NDArray[np.float64]
"""A homography (3, 3), from places in the reference to places in a frame, in px."""
Picture = NDArray[np.uint8]
Grey = NDArray[np.float32]

_FEATURES, _QUALITY, _APART_PX, _WINDOW_PX, _LEVELS = 400, 0.01, 8, 21, 4
_FEWEST = 10
"""Features that must agree on the camera's motion."""
_OFF_PX = 0.7
"""Distance from the common motion up to which a feature follows it."""
_SUBPIXELS = 32
"""OpenCV's remap rounds to so many steps a pixel; what it would lose is added by the slope."""
_ECC_STEPS, _ECC_STEP_PX, _ECC_LEAST = 60, 1e-4, 0.6


def opencv() -> Any:
    """The module ``cv2``.

    Raises:
        OptionFault: it is not installed.
    """
    try:
        import cv2
    except ImportError:
        raise OptionFault(
            "--stabilise needs OpenCV, which is not installed",
            remedy="pip install opencv-python-headless, or apt install python3-opencv",
        ) from None
    return cv2


def warped(picture: NDArray[Any], matrix: Matrix, part: Region) -> Grey:
    """A part of the reference's picture, float32 (h, w) or (h, w, 3), as a frame shows it: ``picture`` at ``matrix``.

    Interpolated by Lanczos over 8 pixels; beyond the frame its edge is repeated.
    """
    cv2 = opencv()
    y, x = np.mgrid[part.slices]
    u, v, scale = (row[0] * x + row[1] * y + row[2] for row in matrix)
    at = np.stack([u / scale, v / scale])
    stepped = np.rint(at * _SUBPIXELS) / _SUBPIXELS
    laid: Grey = cv2.remap(
        picture.astype(np.float32, copy=False),
        *stepped.astype(np.float32),
        cv2.INTER_LANCZOS4,
        borderMode=cv2.BORDER_REPLICATE,
    )
    left_x, left_y = (at - stepped).astype(np.float32)
    down, across = np.gradient(laid, axis=(0, 1))
    if laid.ndim == 3:
        left_x, left_y = left_x[..., None], left_y[..., None]
    laid += left_x * across + left_y * down
    return laid


class FeatureAligner:
    """Finds the motion of most features of a reference picture, (H, W, 3; RGB) or luma (H, W), in other frames.

    Features are corners (Shi and Tomasi), followed from the reference itself by pyramidal Lucas-Kanade, so that no
    error adds up; the motion is the one that most of them agree on (RANSAC). Where features are too few, as in
    blurred frames, the enhanced correlation coefficient of the whole background is maximised instead (Evangelidis
    and Psarakis, PAMI 30(10), 2008).

    Args:
        reference: the picture.
        model: how a camera may move.
        background: (H, W), True where features may be taken; None takes all.
    """

    def __init__(self, reference: NDArray[Any], model: CameraModel, background: Mask | None = None) -> None:
        self._cv2 = opencv()
        self._model = model
        self._reference = _grey(reference)
        self._mask = None if background is None else background.astype(np.uint8)
        found = self._cv2.goodFeaturesToTrack(
            self._reference, _FEATURES, _QUALITY, _APART_PX, mask=self._mask
        )
        self._places: Grey = np.zeros((0, 2), np.float32) if found is None else found.reshape(-1, 2)

    def find(self, frame: NDArray[Any], near: Matrix) -> Matrix | None:
        """The motion from the reference to a frame, looked for around another; None where there is none."""
        grey = _grey(frame)
        return (
            self._by_features(grey, near)
            if len(self._places) >= _FEWEST
            else self._by_correlation(grey, near)
        )

    def _by_features(self, grey: Picture, near: Matrix) -> Matrix | None:
        cv2 = self._cv2
        guess = cv2.perspectiveTransform(self._places[None].astype(np.float64), near)[0].astype(np.float32)
        went, seen, _ = cv2.calcOpticalFlowPyrLK(
            self._reference, grey, self._places, guess, winSize=(_WINDOW_PX, _WINDOW_PX), maxLevel=_LEVELS,
            criteria=(cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01), flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
        )  # fmt: skip
        known = seen.ravel().astype(bool)
        if known.sum() >= _FEWEST:
            matrix, followed = self._common(self._places[known], went[known])
            if matrix is not None and followed.sum() >= _FEWEST:
                return matrix
        return self._by_correlation(grey, near)

    def _common(self, here: Grey, there: Grey) -> tuple[Matrix | None, NDArray[Any]]:
        cv2 = self._cv2
        cv2.setRNGSeed(1)
        if self._model == "homography":
            return cv2.findHomography(here, there, cv2.RANSAC, _OFF_PX, maxIters=2000, confidence=0.999)  # type: ignore[no-any-return]
        similar, followed = cv2.estimateAffinePartial2D(
            here, there, method=cv2.RANSAC, ransacReprojThreshold=_OFF_PX, maxIters=2000, confidence=0.999
        )
        if similar is None:
            return None, np.zeros(0)
        matrix = np.vstack([similar, [0, 0, 1]])
        if self._model == "translation":
            middle = np.array([*here[followed.ravel().astype(bool)].mean(axis=0), 1])
            matrix = shift_by(*(matrix @ middle - middle)[:2])
        return matrix, followed

    def _by_correlation(self, grey: Picture, near: Matrix) -> Matrix | None:
        cv2 = self._cv2
        kind = {"translation": cv2.MOTION_TRANSLATION, "similarity": cv2.MOTION_EUCLIDEAN,
                "homography": cv2.MOTION_HOMOGRAPHY}[self._model]  # fmt: skip
        rows = 3 if self._model == "homography" else 2
        criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, _ECC_STEPS, _ECC_STEP_PX)
        try:
            alike, matrix = cv2.findTransformECC(
                self._reference, grey, near[:rows].astype(np.float32), kind, criteria, None, 5
            )
        except cv2.error:  # it did not converge
            return None
        return np.vstack([matrix, np.eye(3)[rows:]]).astype(np.float64) if alike > _ECC_LEAST else None


def shift_by(x_px: float, y_px: float) -> Matrix:
    """The matrix of a translation."""
    return np.array([[1.0, 0, x_px], [0, 1, y_px], [0, 0, 1]])


def moved(matrix: Matrix, places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places (n, 2) of the reference in a frame, (n, 2)."""
    ends = np.column_stack([places, np.ones(len(places))]) @ matrix.T
    mapped: NDArray[np.float64] = ends[:, :2] / ends[:, 2:]
    return mapped


def _grey(picture: NDArray[Any]) -> Picture:
    return np.clip(np.rint(as_luma(picture)), 0, 255).astype(np.uint8)
