"""Homographies from a picture to a plane: of points, of lengths, of vanishing points."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.geometry.boards import is_line
from tremorscope.runtime.vibration.displacement.geometry import (
    LENS_PARAMETERS,
    NO_LENS,
    Lens,
    through,
    undistorted,
)

Values = NDArray[np.float64]
PlaneFit = Callable[[Values, Values], Values]
"""From lens (8,) and what was given to a homography (3, 3), of undistorted px to mm."""

FEWEST_POINTS = 4
_LEAST_LENGTH_PX = 2.0
_CONTRADICTION = 4.0
_SQUARE_DEG = 5.0
_FEWEST_LINES = 2
_DIRECTIONS = 0.03
"""Least share of the smallest of three singular values at which lengths point in directions enough."""


class LensRays:
    """The lens as coordinates of variance 1, so that its uncertainty enters a fit as that of any other input."""

    def __init__(self, lens: Lens | None) -> None:
        self.nominal: Values = np.array(lens.parameters if lens else NO_LENS)
        self.known = lens is not None
        self._spread = np.array(lens.ensemble) - self.nominal if lens else np.empty((0, LENS_PARAMETERS))
        self.count = len(self._spread)

    def lens_of(self, coordinates: Values) -> Values:
        """Parameters (8,) at coordinates (count,)."""
        found: Values = self.nominal + coordinates @ self._spread
        return found


def check_points(points: Values) -> None:
    """Check that points (n, 4) determine a plane.

    Raises:
        CalibrationFault: they are too few, or all but one lie in a line.
    """
    if len(points) < FEWEST_POINTS:
        raise CalibrationFault(
            f"{len(points)} points do not determine a plane",
            remedy=f"give {FEWEST_POINTS} or more, or lengths instead",
        )
    for at in range(len(points)):
        rest = np.delete(points, at, axis=0)
        if is_line(rest[:, :2]) or is_line(rest[:, 2:]):
            which = "three points" if len(points) == FEWEST_POINTS else "all points but one"
            raise CalibrationFault(
                f"{which} lie in a line: all but point {at + 1}",
                remedy="choose four that are the corners of a quadrangle, or more",
            )


def check_lines(lines: tuple[Values, Values]) -> None:
    """Check that each family has lines enough, of some length.

    Raises:
        CalibrationFault: one has not.
    """
    for name, family in zip(("first", "second"), lines, strict=True):
        if len(family) < _FEWEST_LINES:
            raise CalibrationFault(
                f"{len(family)} lines of the {name} family have no vanishing point",
                remedy=f"give {_FEWEST_LINES} or more parallel lines, far apart",
            )
        if (np.hypot(*(family[:, :2] - family[:, 2:]).T) < _LEAST_LENGTH_PX).any():
            raise CalibrationFault(f"a line of the {name} family is a point", remedy="give two places on it")


def by_points(points: Values, rays: LensRays, size: tuple[int, int]) -> PlaneFit:
    """A fit to points (n, 4): with a lens by its pose, else by a free homography."""
    pose = _pose_of(points, rays.nominal) if rays.known else None

    def fit(lens: Values, given: Values) -> Values:
        middle = given[:, 2:].mean(axis=0)  # OpenCV reckons in float32 here and there
        seen, places = undistorted(given[:, :2], lens), given[:, 2:] - middle
        if pose is None:
            plane = _free(seen, places)
        else:
            matrix = _matrix(lens)
            place = np.column_stack([places, np.zeros(len(places))])
            turn, shift = cv2.solvePnPRefineLM(place, seen, matrix, None, pose[0].copy(), pose[1].copy())
            turned = cv2.Rodrigues(turn)[0]
            plane = _inverse(matrix @ np.column_stack([turned[:, :2], shift]))
        sides = np.column_stack([seen, np.ones(len(seen))]) @ plane[2]
        if sides.min() * sides.max() <= 0:
            raise CalibrationFault(
                "the points cross over: no plane is seen like this",
                remedy="check the order of their coordinates",
            )
        back = np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]])
        return _normalised(back @ plane, size)

    return fit


def _pose_of(points: Values, lens: Values) -> tuple[Values, Values]:
    places = np.column_stack([points[:, 2:] - points[:, 2:].mean(axis=0), np.zeros(len(points))])
    done, turn, shift = cv2.solvePnP(
        places,
        undistorted(points[:, :2], lens),
        _matrix(lens),
        None,
        flags=cv2.SOLVEPNP_IPPE,
    )
    if not done:
        raise CalibrationFault(
            "no pose of a plane shows the points like this", remedy="check their coordinates"
        )
    return np.asarray(turn, float), np.asarray(shift, float)


def _free(seen: Values, places: Values) -> Values:
    plane = cv2.findHomography(seen, places, 0)[0]
    if plane is None:
        raise CalibrationFault("the points do not determine a plane", remedy="check their coordinates")
    return np.asarray(plane, float)


def point_residuals(plane: Values, points: Values, lens: Values) -> Values:
    """Distance in the (undistorted) picture of each point from where the plane has it, (n, 2) px."""
    found: Values = through(np.linalg.inv(plane), points[:, 2:]) - undistorted(points[:, :2], lens)
    return found


def by_lengths(lengths: Values, rays: LensRays, size: tuple[int, int]) -> tuple[PlaneFit, bool]:
    """A fit to lengths (n, 5), and True if they lie in directions enough to show how the plane is foreshortened."""
    steps = _steps(rays.nominal, lengths)
    if (np.hypot(*steps.T) < _LEAST_LENGTH_PX).any() or not (lengths[:, 4] > 0).all():
        raise CalibrationFault(
            "a length is 0", remedy="give two places apart from each other, and the distance between them"
        )
    rows = _quadratic(steps / np.hypot(*steps.T)[:, None])
    sizes = np.linalg.svd(rows, compute_uv=False)
    directions = len(lengths) >= 3 and bool(sizes[2] > _DIRECTIONS * sizes[0])

    def fit(lens: Values, given: Values) -> Values:
        moved, true = _steps(lens, given), given[:, 4]
        if directions:
            weights = 1 / true**2
            a, b, c = np.linalg.lstsq(_quadratic(moved) * weights[:, None], np.ones(len(true)), rcond=None)[0]
            values, vectors = np.linalg.eigh(np.array([[a, b], [b, c]]))
            if values.min() <= 0:
                raise CalibrationFault(
                    "the lengths contradict each other", remedy="check each, and that all lie in one plane"
                )
            stretch = (vectors * np.sqrt(values)) @ vectors.T
        else:
            stretch = np.eye(2) * true.sum() / np.hypot(*moved.T).sum()
        plane = np.eye(3)
        plane[:2, :2] = stretch
        return _normalised(plane, size)

    return fit, directions


def check_lengths(plane: Values, lengths: Values, sigma_px: float, sigma_mm: float, lens: Values) -> None:
    """Check lengths (n, 5) against a plane, within their uncertainties.

    Raises:
        CalibrationFault: one is off.
    """
    ends = [through(plane, undistorted(lengths[:, at : at + 2], lens)) for at in (0, 2)]
    found, true = np.hypot(*(ends[1] - ends[0]).T), lengths[:, 4]
    mm_per_px = true / np.hypot(*_steps(lens, lengths).T)
    off = np.abs(found - true) / np.hypot(np.sqrt(2) * sigma_px * mm_per_px, sigma_mm)
    if off.max() > _CONTRADICTION:
        at = int(off.argmax())
        raise CalibrationFault(
            f"the lengths contradict each other: length {at + 1} is {true[at]:.5g} mm, the others say "
            f"{found[at]:.5g} mm",
            remedy="give lengths of one plane; one that is seen at an angle needs three directions, or --point",
        )


def by_vanishing(
    rays: LensRays, size: tuple[int, int]
) -> Callable[[Values, Values, tuple[Values, Values], Values], Values]:
    """A fit to an optical axis (px; taken where no lens is), two families of lines (n, 4) and lengths (n, 5)."""

    def fit(lens: Values, axis: Values, lines: tuple[Values, Values], lengths: Values) -> Values:
        families = [undistorted(each.reshape(-1, 2), lens).reshape(-1, 4) for each in lines]
        middle = lens[2:4] if rays.known else axis
        first, second = (_vanishing(each, middle, size) for each in families)
        matrix = _matrix(lens) if rays.known else _self_calibrated(first, second, middle)
        to_ray = np.linalg.inv(matrix) @ np.array([[1, 0, middle[0]], [0, 1, middle[1]], [0, 0, 1]])
        one, two = (each / np.linalg.norm(each) for each in (to_ray @ first, to_ray @ second))
        angle_deg = float(np.degrees(np.arccos(abs(one @ two))))
        if abs(90 - angle_deg) > _SQUARE_DEG:
            raise CalibrationFault(
                f"the families of lines are at {angle_deg:.0f} degrees to each other, not square",
                remedy="choose lines that are square to each other on the structure, or give points",
            )
        normal = np.cross(one, two) / np.linalg.norm(np.cross(one, two))
        plane = np.stack([one, np.cross(normal, one), normal]) @ np.linalg.inv(matrix)
        ends = [through(plane, undistorted(lengths[:, at : at + 2], lens)) for at in (0, 2)]
        factor = lengths[:, 4].sum() / np.hypot(*(ends[1] - ends[0]).T).sum()
        return _normalised(np.diag([factor, factor, 1.0]) @ plane, size)

    return fit


def _vanishing(family: Values, middle: Values, size: tuple[int, int]) -> Values:
    """Vanishing point of lines (n, 4), homogeneous, in px from the middle."""
    unit = float(max(size))
    ends = np.concatenate([family - np.tile(middle, 2)]).reshape(-1, 2, 2) / unit
    lifted = np.concatenate([ends, np.ones((*ends.shape[:2], 1))], axis=2)
    # Not normalised: a cross product grows with the line's length, and so does its weight.
    x, y, w = np.linalg.svd(np.cross(lifted[:, 0], lifted[:, 1]))[2][-1]
    return np.array([unit * x, unit * y, w])


def _self_calibrated(first: Values, second: Values, middle: Values) -> Values:
    """Matrix of a camera with square pixels to which two directions are square, (3, 3)."""
    scale = first[2] * second[2]
    squared = -(first[:2] @ second[:2]) / scale if abs(scale) > 1e-12 else -1.0
    if not squared > 0:
        raise CalibrationFault(
            "the vanishing points do not determine the focal length: a family of lines stays parallel in the picture",
            remedy="calibrate the lens and give --lens, or give --point or --length alone",
        )
    focal = float(np.sqrt(squared))
    return np.array([[focal, 0, middle[0]], [0, focal, middle[1]], [0, 0, 1]])


def _matrix(lens: Values) -> Values:
    return np.array([[lens[0], 0, lens[2]], [0, lens[1], lens[3]], [0, 0, 1.0]])


def _inverse(matrix: Values) -> Values:
    found: Values = np.asarray(np.linalg.inv(matrix), np.float64)
    return found


def _steps(lens: Values, lengths: Values) -> Values:
    found: Values = undistorted(lengths[:, 2:4], lens) - undistorted(lengths[:, :2], lens)
    return found


def _quadratic(steps: Values) -> Values:
    """Rows of a, b, c in a dx^2 + 2 b dx dy + c dy^2, (n, 3)."""
    return np.column_stack([steps[:, 0] ** 2, 2 * steps[:, 0] * steps[:, 1], steps[:, 1] ** 2])


def _normalised(plane: Values, size: tuple[int, int]) -> Values:
    """The homography with weight 1 at the picture's middle, so that small changes of it can be compared."""
    weight = plane[2] @ (size[0] / 2, size[1] / 2, 1)
    found: Values = plane / weight if weight else np.full((3, 3), np.nan)
    return found
