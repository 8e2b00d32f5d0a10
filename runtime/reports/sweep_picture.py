"""The contact sheet of a sweep as a PNG: the frame in grey, and over it in colour how far what moves in each band."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter, LogLocator
from numpy.typing import NDArray

from tremorscope.runtime.reports.figures import figure, png

_CELL_IN = 3.6
_RANGE = 15.0
"""Largest shown displacement over the smallest."""


def sweep_picture(
    frame: NDArray[np.uint8],
    cells: Sequence[tuple[str, NDArray[np.float32], float]],
    title: str,
    comment: str = "",
) -> bytes:
    """Draw the sheet.

    Args:
        frame: the clip's first frame, (H, W, 3; RGB).
        cells: band in words, RMS displacement in px (h, w), and amplitude of the largest motion in px, of each.
        title: of the sheet.
        comment: of the file.

    Returns:
        The bytes of a PNG.
    """
    columns = min(4, len(cells))
    rows = math.ceil(len(cells) / columns)
    height_in = _CELL_IN * frame.shape[0] / frame.shape[1] + 0.5
    grey = (frame @ np.array([0.299, 0.587, 0.114])).astype(np.float32)
    largest = max((float(amplitude) for _, _, amplitude in cells), default=0.0) or 0.1
    norm = LogNorm(largest / _RANGE, largest, clip=True)
    with figure(_CELL_IN * columns + 0.9, height_in * rows + 0.6, dpi=110) as drawn:
        grid = drawn.subplots(rows, columns, squeeze=False)
        drawn.suptitle(title, x=0.01, ha="left", fontsize=13)
        picture = None
        for axes, cell in zip(grid.flat, [*cells, *[None] * (rows * columns - len(cells))], strict=True):
            axes.set_axis_off()
            if cell is None:
                continue
            name, rms_px, amplitude_px = cell
            axes.imshow(grey, cmap="gray", vmin=-80, vmax=335)
            amplitudes = math.sqrt(2) * np.ma.masked_less_equal(rms_px, largest / _RANGE / math.sqrt(2))
            height, width = grey.shape
            edges = (-0.5, width - 0.5, height - 0.5, -0.5)
            picture = axes.imshow(amplitudes, cmap="inferno", norm=norm, alpha=0.75, extent=edges)
            moves = f"up to {amplitude_px:.2g} px" if amplitude_px > 0 else "nothing moves"
            axes.set_title(f"{name}\n{moves}", fontsize=10.5)
        if picture is not None:
            plain = FuncFormatter(lambda value, _: f"{value:.1g}")
            told: Any = {"label": "amplitude in px", "ticks": LogLocator(subs=(1, 2, 5)), "format": plain}
            drawn.colorbar(picture, ax=grid, shrink=0.8, **told).ax.minorticks_off()
        return png(drawn, comment)
