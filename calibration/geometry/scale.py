"""The scale of a plane, in four ways: a board in it, points, lengths, or two families of parallel lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.calibration.geometry.ensembles import ensemble_of
from tremorscope.calibration.geometry.planes import (
    LensRays,
    by_lengths,
    by_points,
    by_vanishing,
    check_lengths,
    check_lines,
    check_points,
    point_residuals,
)
from tremorscope.runtime.vibration.displacement.geometry import LENS_PARAMETERS, Lens, PlaneScale

Values = NDArray[np.float64]

_LEAST_SIGMA_PX = 0.03
"""Corners of a board are never taken as found better than this."""
_WORST_SHARE = 0.1
_CONTRADICTION = 5.0
_MORE = "give more points or lengths, farther apart, state them better, or calibrate the lens and give --lens"
_CENTRE_SHARE = 0.02
"""Standard uncertainty of the optical axis, as a share of the picture's width, where no lens is stated."""


@dataclass(frozen=True, eq=False)
class Known:
    """Known facts of a scene. Arrays have a row for each; lengths in mm, places in px."""

    size_px: tuple[int, int]
    lens: Lens | None
    sigma_px: float
    """Standard uncertainty of a place in the picture, along each axis."""
    sigma_mm: float
    """Standard uncertainty of a length, of a coordinate, or of a board's side."""
    points: Values | None = None
    """(n, 4): x, y in the picture, and on the plane."""
    lengths: Values | None = None
    """(n, 5): both ends in the picture, and the length between them."""
    lines: tuple[Values, Values] | None = None
    """Two families, (n, 4) each: ends of parallel lines on the plane; the families are square to each other."""


@dataclass(frozen=True, eq=False)
class _Origin:
    """Origin of a plane."""

    method: Literal["board", "points", "lengths", "vanishing points"]
    text: str
    points: Values = field(default_factory=lambda: np.empty((0, 4)))
    residuals: Values = field(default_factory=lambda: np.empty((0, 2)))

    def place(self, known: Known) -> Values:
        """Middle of it in the picture."""
        if len(self.points):
            return np.asarray(self.points[:, :2].mean(axis=0))
        assert known.lengths is not None
        return np.asarray(known.lengths[:, :4].reshape(-1, 2).mean(axis=0))


def scale_by_board(board: CalibrationBoard, picture: NDArray[np.uint8], known: Known) -> PlaneScale:
    """The plane in which a board lies, from one picture of it.

    Raises:
        CalibrationFault: the board is not found; see `CalibrationBoard.find`.
    """
    found = board.find(picture)
    points = np.column_stack([found.corners_px, found.corners_mm])
    rays, count = LensRays(known.lens), len(points)
    fit_plane = by_points(points, rays, known.size_px)
    residuals = point_residuals(fit_plane(rays.nominal, points), points, rays.nominal)
    freedom = 2 * count - (6 if known.lens else 8)
    sigma_px = max(float(np.sqrt((residuals**2).sum() / freedom)), _LEAST_SIGMA_PX)

    def fit(inputs: Values) -> Values:
        lens = rays.lens_of(inputs[: rays.count])
        seen = inputs[rays.count : -1].reshape(count, 2)
        return _joint(lens, fit_plane(lens, np.column_stack([seen, inputs[-1] * found.corners_mm])))

    given = np.r_[found.corners_px.ravel(), 1.0]
    sigmas = np.r_[np.full(2 * count, sigma_px), known.sigma_mm / board.side_mm]
    return _plane(known, rays, fit, (given, sigmas), _Origin("board", f"board {board}", points, residuals))


def scale_by_points(known: Known) -> PlaneScale:
    """The plane through four or more points of known coordinates.

    Raises:
        CalibrationFault: too few, three of four in a line, or they contradict each other.
    """
    points = known.points
    assert points is not None
    check_points(points)
    rays = LensRays(known.lens)
    fit_plane = by_points(points, rays, known.size_px)
    residuals = point_residuals(fit_plane(rays.nominal, points), points, rays.nominal)
    share = _share_of_stated(known, points, residuals)
    if share > _CONTRADICTION:
        worst = int((residuals**2).sum(axis=1).argmax())
        raise CalibrationFault(
            f"the points contradict each other: point {worst + 1} lies "
            f"{np.hypot(*residuals[worst]):.1f} px off the plane of all",
            remedy="check its coordinates, and that all lie in one plane; else state a larger --sigma-px or --sigma",
        )

    def fit(inputs: Values) -> Values:
        lens = rays.lens_of(inputs[: rays.count])
        return _joint(lens, fit_plane(lens, inputs[rays.count :].reshape(points.shape)))

    # Residuals larger than stated count; smaller ones may be luck.
    sigmas = max(1.0, share) * np.tile([known.sigma_px] * 2 + [known.sigma_mm] * 2, len(points))
    origin = _Origin("points", f"{len(points)} points", points, residuals)
    return _plane(known, rays, fit, (points.ravel(), sigmas), origin)


def _share_of_stated(known: Known, points: Values, residuals: Values) -> float:
    """Residuals as a multiple of what the stated uncertainties let expect; 0 where nothing is left over."""
    freedom = residuals.size - (6 if known.lens else 8)
    if freedom <= 0:
        return 0.0
    seen = float(np.sqrt((residuals**2).sum() / freedom))
    px_per_mm = float(np.hypot(*np.ptp(points[:, :2], axis=0)) / np.hypot(*np.ptp(points[:, 2:], axis=0)))
    return seen / max(float(np.hypot(known.sigma_px, known.sigma_mm * px_per_mm)), 1e-9)


def scale_by_lengths(known: Known) -> PlaneScale:
    """The plane from lengths near the regions; fewer than three directions take the plane as square to the view.

    Raises:
        CalibrationFault: they contradict each other.
    """
    lengths = known.lengths
    assert lengths is not None
    rays = LensRays(known.lens)
    fit_plane, directions = by_lengths(lengths, rays, known.size_px)
    check_lengths(fit_plane(rays.nominal, lengths), lengths, known.sigma_px, known.sigma_mm, rays.nominal)

    def fit(inputs: Values) -> Values:
        lens = rays.lens_of(inputs[: rays.count])
        return _joint(lens, fit_plane(lens, inputs[rays.count :].reshape(lengths.shape)))

    text = _count(len(lengths), "length") + ("" if directions else ", taking the plane as square to the view")
    sigmas = np.tile([known.sigma_px] * 4 + [known.sigma_mm], len(lengths))
    return _plane(known, rays, fit, (lengths.ravel(), sigmas), _Origin("lengths", text))


def scale_by_vanishing(known: Known) -> PlaneScale:
    """The plane from two families of parallel lines, square to each other, and one length or more.

    Raises:
        CalibrationFault: the families have no vanishing points, or are not square to each other.
    """
    lines, lengths = known.lines, known.lengths
    assert lines is not None
    assert lengths is not None
    check_lines(lines)
    rays = LensRays(known.lens)
    counts = [each.size for each in lines]
    centre = np.array(known.size_px, float) / 2 - 0.5
    fit_plane = by_vanishing(rays, known.size_px)

    def fit(inputs: Values) -> Values:
        lens = rays.lens_of(inputs[: rays.count])
        axis, first, second, rest = np.split(inputs[rays.count :], np.cumsum([2, *counts]))
        families = first.reshape(-1, 4), second.reshape(-1, 4)
        return _joint(lens, fit_plane(lens, axis, families, rest.reshape(lengths.shape)))

    axis_sigma = np.full(2, 0.0 if known.lens else _CENTRE_SHARE * known.size_px[0])
    given = np.r_[centre, lines[0].ravel(), lines[1].ravel(), lengths.ravel()]
    sigmas = np.r_[
        axis_sigma,
        np.full(sum(counts), known.sigma_px),
        np.tile([known.sigma_px] * 4 + [known.sigma_mm], len(lengths)),
    ]
    plane = fit(np.r_[np.zeros(rays.count), given])[LENS_PARAMETERS:].reshape(3, 3)
    check_lengths(plane, lengths, known.sigma_px, known.sigma_mm, rays.nominal)
    text = f"vanishing points of {len(lines[0])} and {len(lines[1])} lines, {_count(len(lengths), 'length')}"
    return _plane(known, rays, fit, (given, sigmas), _Origin("vanishing points", text))


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _joint(lens: Values, plane: Values) -> Values:
    return np.concatenate([lens, plane.ravel()])


def _plane(
    known: Known,
    rays: LensRays,
    fit: Callable[[Values], Values],
    given: tuple[Values, Values],
    origin: _Origin,
) -> PlaneScale:
    """The plane of a fit, with the uncertainty that the lens and the inputs, given with theirs, cause together."""
    inputs = np.r_[np.zeros(rays.count), given[0]]
    joint = fit(inputs)
    ensemble = ensemble_of(fit, inputs, np.r_[np.ones(rays.count), given[1]])
    if not np.isfinite(ensemble).all():
        raise CalibrationFault("the plane is not determined by what was given", remedy=_MORE)
    plane = PlaneScale(
        width_px=known.size_px[0],
        height_px=known.size_px[1],
        residual_px=float(np.sqrt((origin.residuals**2).sum(axis=1).mean()))
        if len(origin.residuals)
        else 0.0,
        made_from=origin.text,
        method=origin.method,
        lens=known.lens.parameters if known.lens else None,
        homography=tuple(joint[LENS_PARAMETERS:].tolist()),
        ensemble=tuple(tuple(each) for each in ensemble.tolist()),
        points=tuple((each[0], each[1], each[2], each[3]) for each in origin.points.tolist()),
    )
    relative = plane.relative_sigma_at(origin.place(known))
    if not relative < _WORST_SHARE:
        raise CalibrationFault(
            f"the scale is known to {100 * relative:.2g} % alone where it was taken", remedy=_MORE
        )
    return plane
