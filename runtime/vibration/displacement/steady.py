"""The motion of a camera that does not stand still, and displacement free of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.choosing import still_regions
from tremorscope.runtime.vibration.displacement.coherence import BACKGROUND, SegmentedScene, segment
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.meter import Motion, free_of
from tremorscope.runtime.vibration.displacement.overlays import Mask
from tremorscope.runtime.vibration.displacement.region_follower import RegionFollower, is_lost
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.warping import (
    CameraModel,
    FeatureAligner,
    Matrix,
    moved,
    shift_by,
    warped,
)
from tremorscope.runtime.vibration.displacement.windows import as_luma, estimate_noise_sigma

Picture = NDArray[Any]
Values = NDArray[np.float64]

_MOST_STILL = 16
_FEWEST_STILL = 3
_FEWEST_OF_HOMOGRAPHY = 8
_MARGIN_PX = 24
"""Surroundings of a region that are laid back with it: the search reaches 16 px, its kernels 8."""
_KERNEL_PX = 5
_ROUNDS, _OUTLIER, _LEAST_SPREAD_PX = 4, 3.0, 0.01
_LOST = Motion(math.nan, math.nan, math.nan, math.nan, math.nan, 0.0, math.nan, math.nan)


class CameraMotion:
    """The motion of the camera from a reference picture to each frame, from regions of the still background.

    Features give it to a tenth of a pixel; each still region is then laid back by it and measured, and the common
    rest of all regions is added. A region that disagrees with the others, behind a passer-by perhaps, is left out.

    Args:
        reference: the picture, (H, W, 3; RGB) or luma (H, W).
        still: regions of the background.
        model: how the camera may move.
        background: (H, W), True where features may be taken; None takes all.
        bit_depth: of the pictures.

    Raises:
        OptionFault: OpenCV is not installed, or still regions are too few.
    """

    def __init__(
        self,
        reference: Picture,
        still: Sequence[Region],
        model: CameraModel,
        background: Mask | None = None,
        *,
        bit_depth: int = 8,
    ) -> None:
        if len(still) < (1 if model == "translation" else _FEWEST_STILL):
            raise OptionFault(
                f"{len(still)} still regions are too few to take the camera's motion out",
                remedy="name at least three with --still, far apart, or aim so that more of what stands still is seen",
            )
        self.still = tuple(still)
        few = len(still) < _FEWEST_OF_HOMOGRAPHY and model == "homography"
        self._model: CameraModel = "similarity" if few else model
        self._aligner = FeatureAligner(reference, model, background)
        self.noise_sigma = estimate_noise_sigma(as_luma(reference), bit_depth)
        """Standard deviation of the noise of the reference, in grey levels."""
        self._trackers = tuple(
            RegionTracker(laid_back(reference, np.eye(3), each), _inner(each), self.noise_sigma)
            for each in still
        )
        self._centres = np.array([each.centre_px for each in still])
        self._near: Matrix = np.eye(3)
        self._moves_px: list[Values] = []
        self.left_px: list[float] = []
        """RMS of the still regions' motion that remained in each frame, once their common motion is out."""

    def find(self, frame: Picture) -> Matrix | None:
        """The camera's motion in the next frame, from the reference to it; None where it is not known."""
        matrix = self._aligner.find(frame, self._near)
        if matrix is None:
            return None
        for _ in range(2):  # the second time the rest is small enough to be exact
            rest, known = self._rest(frame, matrix)
            step, left = _common(self._centres, rest, known, self._model)
            if step is None:
                return None
            matrix = matrix @ step
            if np.abs(moved(step, self._centres) - self._centres).max() < 0.05:
                break
        self._near = matrix
        self.left_px.append(left)
        self._moves_px.append((moved(matrix, self._centres) - self._centres).mean(axis=0))
        return matrix

    def line(self) -> str:
        """Human-readable line on the motion that was found and what is left of it."""
        moves = np.array(self._moves_px).reshape(-1, 2)
        left = math.sqrt(float(np.mean(np.square(self.left_px)))) if self.left_px else math.nan
        size = math.sqrt(float(moves.var(axis=0).sum())) if len(moves) else 0.0
        return (
            f"the camera's motion of {size:.2g} px RMS is taken out ({self._model}, {len(self.still)} still regions, "
            f"which agree to {left:.2g} px RMS)"
        )

    def start_anew(self) -> None:
        """Look for the next frame around the reference."""
        self._near, self.left_px, self._moves_px = np.eye(3), [], []

    def _rest(self, frame: Picture, matrix: Matrix) -> tuple[Values, Mask]:
        """Motion of each still region that a matrix leaves, (regions, 2), and where it is known, (regions,)."""
        found = [
            tracker.measure(laid_back(frame, matrix, region))
            for tracker, region in zip(self._trackers, self.still, strict=True)
        ]
        whole = [
            t.directions.shape[1] == 2 and not is_lost(each)
            for t, each in zip(self._trackers, found, strict=True)
        ]
        return np.array([(each.x_px, each.y_px) for each in found]), np.array(whole)


class SteadyMeter:
    """Displacement of several regions, laid back by the camera's motion: what moves in them is their own.

    Args:
        reference: the picture, (H, W, 3; RGB) or luma (H, W).
        regions: regions to measure.
        camera: the camera's motion, from the same reference.

    Raises:
        RegionFault: a region is outside the picture, too small or without texture.
    """

    def __init__(self, reference: Picture, regions: Sequence[Region], camera: CameraMotion) -> None:
        self._regions, self._camera = tuple(regions), camera
        self._centres = np.array([each.centre_px for each in regions]).reshape(-1, 2)
        for region in regions:
            region.check_inside(reference.shape[1], reference.shape[0])
        self.followers = tuple(
            RegionFollower(laid_back(reference, np.eye(3), each), _inner(each), camera.noise_sigma)
            for each in regions
        )

    def learn_noise(self, frames: Sequence[Picture]) -> None:
        """Estimate every region's noise; see `MotionMeter.learn_noise`."""
        matrices = [self._camera.find(frame) for frame in frames]
        self._camera.start_anew()
        for follower, region in zip(self.followers, self._regions, strict=True):
            pairs = zip(frames, matrices, strict=True)
            laid = [laid_back(frame, each, region) for frame, each in pairs if each is not None]
            follower.learn_noise(laid)
            follower.average_reference(laid)

    @property
    def noise_floors_px(self) -> Values:
        """Standard deviations along x and y, (regions, 2), that noise causes; infinite where texture lacks."""
        return np.array([each.noise_floor_px for each in self.followers]).reshape(-1, 2)

    @property
    def rounding_floors_px(self) -> Values:
        """Zeros, (regions, 2): pixels that are interpolated anew in each frame do not round alike."""
        return np.zeros((len(self.followers), 2))

    def measure(self, frame: Picture) -> tuple[Motion, ...]:
        """The motion of every region in the next frame."""
        matrix = self._camera.find(frame)
        if matrix is None:
            return (_LOST,) * len(self.followers)
        pairs = zip(self.followers, self._regions, strict=True)
        found = [(each, each.measure(laid_back(frame, matrix, region))) for each, region in pairs]
        carried = moved(matrix, self._centres) - self._centres  # (regions, 2)
        return tuple(
            replace(free_of(np.zeros(2), moves, each.tracker.mean_luma), camera_x_px=x_px, camera_y_px=y_px)
            for (each, moves), (x_px, y_px) in zip(found, carried.tolist(), strict=True)
        )


def find_camera(
    frames: Sequence[Picture], model: CameraModel, named: Sequence[Region] = (), *, bit_depth: int = 8
) -> tuple[CameraMotion, SegmentedScene, list[Picture]]:
    """The camera's motion, judged from frames in their order, (H, W, 3; RGB) or luma (H, W), the first the reference.

    The frames are laid back by the motion of most features and segmented; the still regions are those of the largest
    part that moves as one, unless some are named.

    Returns:
        The camera's motion, the segmented picture, and the frames laid back onto the reference.

    Raises:
        OptionFault: OpenCV is not installed, or too little stands still.
    """
    reference = frames[0]
    whole = Region(0, 0, reference.shape[1], reference.shape[0])
    aligner, near, laid = FeatureAligner(reference, model), np.eye(3), [reference]
    for frame in frames[1:]:
        matrix = aligner.find(frame, near)
        if matrix is not None:
            near = matrix
            seen = np.clip(warped(frame, matrix, whole), 0, 255)
            laid.append(seen if frame.ndim == 2 else np.rint(seen).astype(np.uint8))
    scene = segment(laid)
    still = tuple(named) or still_regions(scene, laid, _MOST_STILL, bit_depth=bit_depth)
    return CameraMotion(reference, still, model, _free_of_parts(scene), bit_depth=bit_depth), scene, laid


def laid_back(frame: Picture, matrix: Matrix, region: Region) -> NDArray[np.float32]:
    """Luma of a region and its surroundings as the camera's motion leaves it, float32."""
    return warped(*_around(frame, matrix, region))


def _around(frame: Picture, matrix: Matrix, region: Region) -> tuple[NDArray[np.float64], Matrix, Region]:
    """Luma of what of a frame a region is laid back from, the matrix from the reference to it, and the part."""
    part = _grown(region)
    right, bottom = part.x_px + part.width_px, part.y_px + part.height_px
    corners = np.array([(x, y) for x in (part.x_px, right) for y in (part.y_px, bottom)], float)
    ends = moved(matrix, corners)
    height, width = frame.shape[:2]
    left, top = (
        int(max(0, min(low - _KERNEL_PX, size - 16)))
        for low, size in zip(ends.min(axis=0), (width, height), strict=True)
    )
    far, low = (
        int(max(least + 16, high + _KERNEL_PX))
        for least, high in zip((left, top), ends.max(axis=0), strict=True)
    )
    return as_luma(frame[top:low, left:far]), shift_by(-left, -top) @ matrix, part


def _grown(region: Region) -> Region:
    return Region(
        region.x_px - _MARGIN_PX,
        region.y_px - _MARGIN_PX,
        region.width_px + 2 * _MARGIN_PX,
        region.height_px + 2 * _MARGIN_PX,
    )


def _inner(region: Region) -> Region:
    """The region in a picture of itself and its surroundings."""
    return Region(_MARGIN_PX, _MARGIN_PX, region.width_px, region.height_px)


def _free_of_parts(scene: SegmentedScene) -> Mask:
    """(H, W), True where neither an overlay is nor a part that moves by itself."""
    free = ~scene.masked
    side = scene.cells.side_px
    for x, y in scene.cells.corner_px[scene.label != BACKGROUND].tolist():
        free[y : y + side, x : x + side] = False
    return free


def _common(places: Values, rest: Values, known: Mask, model: CameraModel) -> tuple[Matrix | None, float]:
    """The common motion (3, 3) of regions, those left out that disagree, and the RMS that remains of it, in px."""
    needed = {"translation": 1, "similarity": 2, "homography": 5}[model]
    inside = known.copy()
    for _ in range(_ROUNDS):
        if inside.sum() < needed:
            return None, math.nan
        step = _step(places[inside], rest[inside], model)
        off = np.hypot(*(moved(step, places) - places - rest).T)
        spread = max(1.5 * float(np.median(off[inside])), _LEAST_SPREAD_PX)
        agreeing = known & (off < _OUTLIER * spread)
        if (agreeing == inside).all():
            break
        inside = agreeing
    return step, float(np.sqrt((off[inside] ** 2).mean()))


def _step(places: Values, rest: Values, model: CameraModel) -> Matrix:
    """The small motion of a model (3, 3) that fits the motion (n, 2) of places (n, 2) best."""
    if model == "translation":
        return shift_by(*np.median(rest, axis=0))
    middle, scale = places.mean(axis=0), max(float(np.ptp(places, axis=0).max()), 1.0)
    x, y = ((places - middle) / scale).T
    one, none = np.ones_like(x), np.zeros_like(x)
    columns = [(one, none), (none, one), (x, y), (-y, x)]
    if model == "homography":
        columns += [(y, none), (none, y), (x * x, x * y), (x * y, y * y)]
    design = np.stack([np.concatenate(each) for each in columns], axis=1)
    fit = np.linalg.lstsq(design, np.concatenate(rest.T) / scale, rcond=None)[0]
    a, b, zoom, roll, shear, stretch, g, h = np.pad(fit, (0, 8 - len(fit)))
    # To first order x' = x + a + zoom x - roll y + shear y + x (g x + h y), which is a homography's.
    small = np.array([[1 + zoom, shear - roll, a], [roll, 1 + zoom + stretch, b], [-g, -h, 1]])
    centred = np.array([[1 / scale, 0, -middle[0] / scale], [0, 1 / scale, -middle[1] / scale], [0, 0, 1]])
    step = np.linalg.inv(centred) @ small @ centred
    return np.asarray(step / step[2, 2], np.float64)
