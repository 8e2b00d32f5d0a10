"""The same motion magnified by each precision, side by side, as a PNG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tremorscope.calibration.comparison.contestants import Contestant
from tremorscope.calibration.judging.judging import Condition, Material
from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.model.evaluation.scenes import WholeFrame
from tremorscope.runtime.reports.figures import figure, png

_CROP_PX = 144
_ERROR_GAIN = 8


def draw_pictures(contestants: Sequence[Contestant], material: Material) -> bytes:
    """A row a condition: truth and magnified pictures, and below each its difference from the first, times 8."""
    rows, columns = len(material.conditions), 1 + len(contestants)
    with figure(2.3 * columns, 4.9 * rows, dpi=120) as drawn:
        grid = drawn.add_gridspec(2 * rows, columns)
        for row, condition in enumerate(material.conditions):
            shown = _shown(contestants, material.photographs[0], condition)
            for column, (title, picture) in enumerate(shown):
                upper = drawn.add_subplot(grid[2 * row, column])
                upper.imshow(picture, interpolation="nearest")
                upper.set_title(title, fontsize=9.5)
                lower = drawn.add_subplot(grid[2 * row + 1, column])
                lower.imshow(_difference(picture, shown[1][1]), interpolation="nearest")
                lower.set_title("" if column == 1 else f"minus {shown[1][0]}, x{_ERROR_GAIN}", fontsize=8.5)
                for axes in (upper, lower):
                    axes.set_axis_off()
        return png(drawn)


def _shown(
    contestants: Sequence[Contestant], photograph: Picture, condition: Condition
) -> list[tuple[str, Picture]]:
    scene = WholeFrame(photograph, angle=0.6)
    truth, frame, reference = (
        np.clip(np.rint(scene.picture(each)), 0, 255).astype(np.uint8)
        for each in (condition.target_px, condition.displacement_px, 0.0)
    )
    results = [(each.name, each.magnify(frame, reference, condition.amplification)) for each in contestants]
    middle = slice((truth.shape[0] - _CROP_PX) // 2, (truth.shape[0] + _CROP_PX) // 2)
    return [(name, picture[middle, middle]) for name, picture in [(f"truth, {condition}", truth), *results]]


def _difference(picture: Picture, first: Picture) -> Picture:
    difference = 128 + _ERROR_GAIN * (picture.astype(np.int16) - first)
    shown: Picture = np.clip(difference, 0, 255).astype(np.uint8)
    return shown
