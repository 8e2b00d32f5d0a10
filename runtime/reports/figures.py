"""Common style of all figures, and their rendering without a display or any global state."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

# Okabe and Ito's palette, which every kind of colour vision can distinguish.
BLUE, ORANGE, GREEN, PINK, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
COLOURS = (BLUE, ORANGE, GREEN, PINK, SKY, AMBER)
INK, GRID = "#333333", "#D9D9D9"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 11.5,
    "axes.titlesize": 12.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#222222",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.fontsize": 10.5,
}


@contextmanager
def figure(width_in: float, height_in: float, dpi: int = 140) -> Iterator[Figure]:
    """An empty figure in the common style; draw and render it within the block."""
    with rc_context(_STYLE):
        spacing = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, wspace=0.02, hspace=0.02)
        yield Figure(figsize=(width_in, height_in), dpi=dpi, facecolor="white", layout=spacing)


def png(drawn: Figure, comment: str = "") -> bytes:
    """Render a figure as the bytes of a PNG, with a comment on where it is from."""
    stream = io.BytesIO()
    canvas: Any = FigureCanvasAgg(drawn)
    canvas.print_png(stream, metadata={"Comment": comment} if comment else None)
    return stream.getvalue()
