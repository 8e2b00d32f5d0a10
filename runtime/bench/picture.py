"""Picture of a bench: distribution of the stages' times, timeline of frames, and memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from tremorscope.runtime.bench.report import NAMES, headline, milliseconds
from tremorscope.runtime.bench.result import BenchResult, curve_parts
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.figures import BLUE, GREEN, GRID, INK, ORANGE, figure, png

_LEAST_MS = 1e-3
_MOST_POINTS = 4000


def save_bench_picture(found: BenchResult, path: Path) -> None:
    """Draw it as a PNG: whole or not at all.

    Raises:
        OutputFault: the file cannot be written.
    """
    with figure(12.0, 8.6) as drawn, whole_file(path) as file:
        rows = drawn.add_gridspec(3, 1, height_ratios=(1.35, 1.3, 0.6))
        drawn.suptitle(
            f"{found.network} ({found.precision}) at {found.width_px}x{found.height_px}, {found.runtime}\n"
            f"{headline(found)}",
            x=0.012,
            ha="left",
            fontsize=13,
            color=INK,
        )
        _draw_spread(drawn.add_subplot(rows[0]), found)
        timeline = drawn.add_subplot(rows[1])
        _draw_timeline(timeline, found)
        memory = drawn.add_subplot(rows[2])
        _draw_memory(memory, found)
        drawn.align_ylabels([timeline, memory])
        file.write(png(drawn))


def _draw_spread(axes: Axes, found: BenchResult) -> None:
    """A bar a stage: thick where nine in ten frames were, thin to the extremes, a mark at the median."""
    stages = [name for name in NAMES if name in found.curves_ms]
    parts = curve_parts()
    for row, name in enumerate(reversed(stages)):
        curve = np.maximum(found.curves_ms[name], _LEAST_MS)
        low, p5, median, p95, high = np.interp((0, 0.05, 0.5, 0.95, 1), parts, curve)
        colour = ORANGE if name == "total" else BLUE
        axes.plot([low, high], [row, row], color=colour, linewidth=1.5)
        axes.plot([p5, p95], [row, row], color=colour, linewidth=11, alpha=0.45, solid_capstyle="butt")
        axes.plot([median], [row], marker="|", markersize=16, markeredgewidth=2.5, color=INK)
        axes.annotate(
            f"{milliseconds(median)} ms   (95 %: {milliseconds(p95)}, most: {milliseconds(high)})",
            (high, row),
            xytext=(10, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=10.5,
        )
    axes.set_yticks(range(len(stages)), [NAMES[name] for name in reversed(stages)])
    axes.set_ylim(-0.6, len(stages) - 0.4)
    axes.set_xscale("log")
    lowest, highest = axes.get_xlim()
    axes.set_xlim(lowest, highest * (highest / lowest) ** 0.55)  # room for the words
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _at: f"{value:g}" if value <= highest else ""))
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.7)
    axes.set_xlabel("ms a frame: nine in ten frames within the thick bar")
    axes.set_title("Where the time goes")


def _draw_timeline(axes: Axes, found: BenchResult) -> None:
    times = found.timeline
    every = max(1, len(times.since_s) // _MOST_POINTS)
    style: Any = {"linewidth": 0.9, "marker": ".", "markersize": 3.0}
    axes.plot(times.since_s[::every], times.total_ms[::every], color=ORANGE, label="altogether", **style)
    axes.plot(times.since_s[::every], times.step_ms[::every], color=BLUE, label="the engine's step", **style)
    if found.nominal_rate_hz:
        axes.axhline(1e3 / found.nominal_rate_hz, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.annotate(
            f"one frame of the camera, {1e3 / found.nominal_rate_hz:.3g} ms",
            (1, 1e3 / found.nominal_rate_hz),
            xycoords=("axes fraction", "data"),
            xytext=(-4, 4),
            textcoords="offset points",
            ha="right",
            color=INK,
            fontsize=10,
        )
    axes.set_ylim(0, 1.12 * max(float(times.total_ms.max()), 1.2e3 / (found.nominal_rate_hz or 1e9)))
    axes.set_xlim(0, float(times.since_s[-1]))
    axes.tick_params(labelbottom=False)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.7)
    axes.set_ylabel("ms")
    axes.set_title("Frame by frame")
    axes.legend(loc="upper right", ncols=2, bbox_to_anchor=(1.0, 1.17))


def _draw_memory(axes: Axes, found: BenchResult) -> None:
    times = found.timeline
    mib = times.resident_bytes / 2**20
    axes.plot(times.since_s[times.resident_at], mib, color=GREEN)
    spread = max(float(mib.max() - mib.min()), 0.1 * float(mib.max()))
    middle = float(mib.max() + mib.min()) / 2
    axes.set_ylim(middle - spread, middle + spread)
    axes.set_xlim(0, float(times.since_s[-1]))
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.7)
    axes.set_ylabel("MiB")
    axes.set_xlabel("s")
    axes.set_title("Memory of the process")
