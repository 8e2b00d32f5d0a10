"""Check view of a lens: corners of all views, their residuals, and the distortion as a bent grid."""

from __future__ import annotations

import numpy as np

from tremorscope.calibration.geometry.lens import LensResult
from tremorscope.runtime.reports.figures import AMBER, BLUE, SKY, figure, png
from tremorscope.runtime.vibration.displacement.geometry import distorted

_WIDTH_IN = 9.0
_LINES, _PLACES = 9, 60
_LONGEST_ARROW = 0.05


def lens_picture(result: LensResult) -> bytes:
    """The first picture with corners and residuals of all, exaggerated, and the grid, as PNG."""
    lens = result.lens
    width, height = lens.width_px, lens.height_px
    corners = np.concatenate([found.corners_px for _, found in result.sightings])
    residuals = np.concatenate(result.residuals)
    times = _LONGEST_ARROW * width / max(float(np.hypot(*residuals.T).max()), 1e-9)
    with figure(_WIDTH_IN, _WIDTH_IN * height / width + 0.7) as drawn:
        axes = drawn.add_subplot()
        axes.imshow(result.sightings[0][0].picture, alpha=0.5)
        axes.set_xlim(-0.5, width - 0.5)
        axes.set_ylim(height - 0.5, -0.5)
        axes.set_axis_off()
        for along, (length, across) in enumerate(((width, height), (height, width))):
            for at in np.linspace(0, across, _LINES):
                line = np.full((_PLACES, 2), at)
                line[:, along] = np.linspace(0, length, _PLACES)
                axes.plot(*distorted(line, lens.parameters).T, color=SKY, linewidth=1)
        axes.plot(*corners.T, ".", color=BLUE, markersize=2)
        ends = corners + times * residuals
        axes.plot(*np.stack([corners, ends], axis=1).transpose(2, 1, 0), color=AMBER, linewidth=1)
        axes.set_title(
            f"corners of {lens.views} views, residuals {lens.residual_px:.3f} px RMS drawn {times:.0f} times larger\n"
            "blue grid: straight lines as the lens bends them"
        )
        return png(drawn)
