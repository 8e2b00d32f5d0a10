"""Check view of a scale: the plane's axes and grid drawn back over a picture, with what it rests on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.reports.figures import AMBER, figure, png
from tremorscope.runtime.reports.scale_grid import grid_of, grid_text, lines_of, points_of
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale

Values = NDArray[np.float64]

_WIDTH_IN = 9.0
_LONGEST_ARROW = 0.06
"""Length of the largest residual as it is drawn, as a share of the picture's width."""


def scale_picture(frame: NDArray[np.uint8], plane: PlaneScale) -> bytes:
    """The picture (H, W, 3) with axes, grid and residuals, as PNG."""
    height, width = frame.shape[:2]
    points = points_of(plane)
    with figure(_WIDTH_IN, _WIDTH_IN * height / width + 0.7) as drawn:
        axes = drawn.add_subplot()
        axes.imshow(frame, interpolation="antialiased")
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        axes.set_axis_off()
        step_mm, origin = grid_of(plane, width, height)
        for colour, is_axis, line in lines_of(plane, step_mm, origin):
            axes.plot(*line.T, color=colour, linewidth=2.2 if is_axis else 0.8, alpha=1 if is_axis else 0.7)
        sizes = _residuals(plane, points)
        title = grid_text(plane, step_mm)
        if len(points):
            axes.plot(*points[:, :2].T, ".", color=AMBER, markersize=5)
            largest = float(np.hypot(*sizes.T).max())
            times = _LONGEST_ARROW * width / largest if largest > 1e-6 else 0.0
            for (x, y), (dx, dy) in zip(points[:, :2], sizes, strict=True):
                axes.plot([x, x + times * dx], [y, y + times * dy], color=AMBER, linewidth=1.4)
            title += f"\nresiduals {plane.residual_px:.2f} px RMS, drawn {times:.0f} times larger"
        axes.set_title(title)
        return png(drawn)


def _residuals(plane: PlaneScale, points: Values) -> Values:
    if not len(points):
        return np.empty((0, 2))
    found: Values = plane.to_picture(points[:, 2:]) - points[:, :2]
    return found
