"""Check view of a scale: the plane's axes and grid drawn back over a picture, with what it rests on."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.reports.figures import AMBER, GREEN, ORANGE, SKY, figure, png
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale

Values = NDArray[np.float64]

_WIDTH_IN = 9.0
_LINES, _PLACES = 9, 80
_LONGEST_ARROW = 0.06
"""Length of the largest residual as it is drawn, as a share of the picture's width."""


def scale_picture(frame: NDArray[np.uint8], plane: PlaneScale) -> bytes:
    """The picture (H, W, 3) with axes, grid and residuals, as PNG."""
    height, width = frame.shape[:2]
    points = np.array(plane.points, float).reshape(-1, 4)
    middle = points[:, :2].mean(axis=0) if len(points) else np.array([width / 2, height / 2])
    with figure(_WIDTH_IN, _WIDTH_IN * height / width + 0.7) as drawn:
        axes = drawn.add_subplot()
        axes.imshow(frame, interpolation="antialiased")
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        axes.set_axis_off()
        step_mm, origin = _grid(plane, middle, points, float(width))
        for number in range(-_LINES, _LINES + 1):
            for along in (0, 1):
                first = not number
                colour = (ORANGE, GREEN)[along] if first else SKY
                line = _line(plane, origin, step_mm, along, number)
                if line is not None:
                    axes.plot(
                        *line.T, color=colour, linewidth=2.2 if first else 0.8, alpha=1 if first else 0.7
                    )
        sizes = _residuals(plane, points)
        title = f"grid of {step_mm:g} mm (orange: x, green: y), {plane.made_from}"
        if len(points):
            axes.plot(*points[:, :2].T, ".", color=AMBER, markersize=5)
            largest = float(np.hypot(*sizes.T).max())
            times = _LONGEST_ARROW * width / largest if largest > 1e-6 else 0.0
            for (x, y), (dx, dy) in zip(points[:, :2], sizes, strict=True):
                axes.plot([x, x + times * dx], [y, y + times * dy], color=AMBER, linewidth=1.4)
            title += f"\nresiduals {plane.residual_px:.2f} px RMS, drawn {times:.0f} times larger"
        axes.set_title(title)
        return png(drawn)


def _grid(plane: PlaneScale, middle: Values, points: Values, width: float) -> tuple[float, Values]:
    """Step of the grid, a round number of mm, and the place on the plane where the axes cross."""
    mm_per_px = math.sqrt(abs(float(np.linalg.det(plane.map_at(middle)))))
    wanted = width * mm_per_px / 12
    power = 10.0 ** math.floor(math.log10(wanted))
    step = power * max(each for each in (1, 2, 5) if each * power <= wanted)
    if len(points):
        return step, np.zeros(2) if _shows(points, step) else points[0, 2:]
    return step, plane.to_plane([middle])[0]


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


def _residuals(plane: PlaneScale, points: Values) -> Values:
    if not len(points):
        return np.empty((0, 2))
    found: Values = plane.to_picture(points[:, 2:]) - points[:, :2]
    return found
