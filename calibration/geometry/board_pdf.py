"""A board as a PDF in true size, to print."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline

from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.host.files import whole_file

PAPERS_MM = {
    "a4": (210.0, 297.0),
    "a3": (297.0, 420.0),
    "a2": (420.0, 594.0),
    "a1": (594.0, 841.0),
    "a0": (841.0, 1189.0),
    "letter": (215.9, 279.4),
    "tabloid": (279.4, 431.8),
}
_MARGIN_MM, _FOOT_MM, _RULER_MM = 10.0, 14.0, 100.0


def write_board(board: CalibrationBoard, paper: str, path: Path, *, overwrite: bool = False) -> None:
    """Write a page with the board in its middle, and below it a ruler to check the printer by.

    Raises:
        OptionFault: the board does not fit on the paper, or the file is there.
        OutputFault: it cannot be written.
    """
    if path.exists() and not overwrite:
        raise OptionFault(f"{path}: is there already", remedy="name another file, or give --overwrite")
    wide, high = board.size_mm
    need = (wide + 2 * _MARGIN_MM, high + 2 * _MARGIN_MM + _FOOT_MM)
    short, long = PAPERS_MM[paper]
    page = next((p for p in ((long, short), (short, long)) if p[0] >= need[0] and p[1] >= need[1]), None)
    if page is None:
        raise OptionFault(
            f"the board {board} needs {need[0]:g}x{need[1]:g} mm, and {paper} has {long:g}x{short:g} mm",
            remedy="choose a larger --paper, fewer squares or smaller ones",
        )
    figure = Figure(figsize=(page[0] / 25.4, page[1] / 25.4))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, page[0])
    axes.set_ylim(page[1], 0)
    axes.set_axis_off()
    left, top = (page[0] - wide) / 2, (page[1] - _FOOT_MM - high) / 2
    parts = [_rectangle(left + x, top + y, w, h) for x, y, w, h in board.black_mm()]
    foot = page[1] - _MARGIN_MM
    ruler = left, foot - 2, min(_RULER_MM, wide)
    parts += [_rectangle(*ruler, 0.3)] + [
        _rectangle(left + at - 0.15 * (at > 0), foot - 4, 0.3, 2) for at in range(0, int(ruler[2]) + 1, 10)
    ]
    axes.add_patch(PathPatch(Outline.make_compound_path(*parts), facecolor="black", linewidth=0))
    axes.text(left, foot - 6, f"{board}   print at 100 %; the ruler is {ruler[2]:g} mm long", fontsize=8)
    axes.text(left, foot + 3, "measure a side with a ruler and state it: --side", fontsize=8)
    drawn = io.BytesIO()
    canvas: Any = FigureCanvasPdf(figure)
    canvas.print_pdf(drawn, metadata={"Title": str(board), "CreationDate": None})
    with whole_file(path) as file:
        file.write(drawn.getvalue())


def _rectangle(x: float, y: float, width: float, height: float) -> Outline:
    corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
    return Outline(corners, closed=True)
