"""Arrows of mode shapes that neither cross each other nor reach another region."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch
from numpy.typing import NDArray

from tremorscope.runtime.reports.figures import ORANGE
from tremorscope.runtime.vibration.displacement.regions import Region

Values = NDArray[np.float64]

_STEP, _SHORTEST = 0.85, 0.2
_PLACES = 17
"""Places along an arrow that are looked at."""


def untangled(starts: Values, arrows: Values, regions: Sequence[Region]) -> float:
    """The factor, at most 1, by which arrows (n, 2) from starts (n, 2) are shortened so that each is read alone.

    Below a fifth they would be dots: then they are left to touch.
    """
    factor = 1.0
    while factor > _SHORTEST and _tangled(starts, factor * arrows, regions):
        factor *= _STEP
    return factor


def _tangled(starts: Values, arrows: Values, regions: Sequence[Region]) -> bool:
    ends = starts + arrows
    drawn = np.flatnonzero(np.hypot(*arrows.T) > 0)
    if any(_cross(starts[a], ends[a], starts[b], ends[b]) for a, b in combinations(drawn.tolist(), 2)):
        return True
    ways = starts[:, None] + np.linspace(0, 1, _PLACES)[:, None] * arrows[:, None]  # (n, places, 2)
    return any(
        (_inside(ways[at], region) & ~_inside(ways[at], regions[at])).any()
        for at in drawn.tolist()
        for other, region in enumerate(regions)
        if other != at
    )


def _inside(places: Values, region: Region) -> NDArray[np.bool_]:
    low, size = np.array([region.x_px, region.y_px]), np.array([region.width_px, region.height_px])
    inside: NDArray[np.bool_] = ((places >= low) & (places <= low + size)).all(axis=1)
    return inside


def _cross(start: Values, end: Values, other_start: Values, other_end: Values) -> bool:
    """True if two lines between places meet."""

    def side(a: Values, b: Values, c: Values) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    apart = side(start, end, other_start) * side(start, end, other_end)
    back = side(other_start, other_end, start) * side(other_start, other_end, end)
    return apart < 0 and back < 0


def draw_arrow(axes: Axes, middle: list[float], arrow: list[float]) -> None:
    """Draw an arrow from a place, by what it moves."""
    tip = (middle[0] + arrow[0], middle[1] + arrow[1])
    outlined = [patheffects.Stroke(linewidth=4.6, foreground="white"), patheffects.Normal()]
    axes.add_patch(
        FancyArrowPatch(
            (middle[0], middle[1]),
            tip,
            arrowstyle="-|>,head_width=0.26,head_length=0.5",
            mutation_scale=13,
            color=ORANGE,
            linewidth=2.2,
            shrinkA=0,
            shrinkB=0,
            zorder=5,
            path_effects=outlined,
        )
    )
