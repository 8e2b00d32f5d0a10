"""Axes and grid of a calibrated plane as lines of the picture, and as SVG over the live picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale

Values = NDArray[np.float64]

X_COLOUR, Y_COLOUR, GRID_COLOUR, PLACE_COLOUR = "#D55E00", "#009E73", "#56B4E9", "#E69F00"
_LINES, _PLACES = 9, 80


def points_of(plane: PlaneScale) -> Values:
    """Places that a plane rests on, (n, 4): in the picture, and on the plane in mm."""
    return np.array(plane.points, float).reshape(-1, 4)


def grid_of(plane: PlaneScale, width_px: int, height_px: int) -> tuple[float, Values]:
    """Step of the grid, a round number of mm, and the place on the plane where the axes cross, (2,)."""
    points = points_of(plane)
    middle = points[:, :2].mean(axis=0) if len(points) else np.array([width_px / 2, height_px / 2])
    mm_per_px = math.sqrt(abs(float(np.linalg.det(plane.map_at(middle)))))
    wanted = width_px * mm_per_px / 12
    power = 10.0 ** math.floor(math.log10(wanted))
    step = power * max(each for each in (1, 2, 5) if each * power <= wanted)
    if len(points):
        return step, np.zeros(2) if _shows(points, step) else points[0, 2:]
    return step, plane.to_plane([middle])[0]


def lines_of(plane: PlaneScale, step_mm: float, origin: Values) -> Iterator[tuple[str, bool, Values]]:
    """Colour of each line, True for an axis, and its places in the picture, (n, 2); NaN behind the camera."""
    for number in range(-_LINES, _LINES + 1):
        for along in (0, 1):
            colour = GRID_COLOUR if number else (X_COLOUR, Y_COLOUR)[along]
            line = _line(plane, origin, step_mm, along, number)
            if line is not None:
                yield colour, not number, line


def grid_text(plane: PlaneScale, step_mm: float) -> str:
    """Human-readable meaning of the lines."""
    return f"grid of {step_mm:g} mm (orange: x, green: y), {plane.made_from}"


def scale_svg(planes: Sequence[PlaneScale], width_px: int, height_px: int) -> str:
    """Axes, grids and places of planes over a picture of a size; a line that says so where there is none."""
    drawn, told = [], []
    for plane in planes:
        step_mm, origin = grid_of(plane, width_px, height_px)
        told.append(grid_text(plane, step_mm))
        for colour, is_axis, line in lines_of(plane, step_mm, origin):
            for piece in _pieces(line, width_px, height_px):
                places = " ".join(f"{x:.1f},{y:.1f}" for x, y in piece)
                drawn.append(
                    f'<polyline points="{places}" stroke="{colour}" stroke-width="{2.4 if is_axis else 1}"/>'
                )
        drawn += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" stroke="{PLACE_COLOUR}"/>'
            for x, y in points_of(plane)[:, :2]
        ]
    text = "; ".join(told) or "no scale of a calibrated plane is configured (vibration.scale.file)"
    size = width_px / 45
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width_px} {height_px}" fill="none">'
        + "".join(drawn)
        + f'<text x="{size / 2:.1f}" y="{1.3 * size:.1f}" font-size="{size:.1f}" font-family="sans-serif" '
        f'fill="#fff" stroke="#000" stroke-width="{size / 6:.1f}" paint-order="stroke">{escape(text)}</text></svg>'
    )


def _pieces(line: Values, width_px: int, height_px: int) -> list[Values]:
    """Parts of a line that lie in or near the picture, each of two places at least."""
    size = np.array([width_px, height_px])
    with np.errstate(invalid="ignore"):
        near = np.isfinite(line).all(axis=1) & (np.abs(line - size / 2) < size).all(axis=1)
    cuts = np.flatnonzero(np.diff(near)) + 1
    return [
        part
        for part, kept in zip(np.split(line, cuts), np.split(near, cuts), strict=True)
        if kept[0] and len(part) > 1
    ]


def _shows(points: Values, step: float) -> bool:
    """True where the origin of the coordinates lies near the points."""
    nearest = np.abs(np.clip(0, points[:, 2:].min(axis=0), points[:, 2:].max(axis=0)))
    return bool(nearest.max() < _LINES * step)


def _line(plane: PlaneScale, origin: Values, step_mm: float, along: int, number: int) -> Values | None:
    places = np.tile(origin, (_PLACES, 1))
    places[:, along] += np.linspace(-_LINES, _LINES, _PLACES) * step_mm
    places[:, 1 - along] += number * step_mm
    try:
        line = plane.to_picture(places)
    except OptionFault:
        return None
    back = np.linalg.inv(np.reshape(plane.homography, (3, 3)))
    weight = np.column_stack([places, np.ones(_PLACES)]) @ back[2]
    reference = np.r_[origin, 1.0] @ back[2]
    line[weight * reference <= 0] = np.nan  # behind the camera
    return line
