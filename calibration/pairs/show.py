"""Summary of a calibration set: in words, and as a picture of its frames, hours, light and motion."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from tremorscope.calibration.pairs.calibration_set import FEWEST_PAIRS, PairEntry, Picture, SetManifest
from tremorscope.calibration.pairs.pair_files import read_pair
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.reports.figures import BLUE, GRID, ORANGE, figure, png

_COLUMNS, _ROWS = 6, 4
_THUMBNAIL_PX = 320
_BAR = 24


def describe(manifest: SetManifest) -> list[str]:
    """Summary of a set, line by line."""
    pairs, size = manifest.pairs, manifest.frame_size
    lines = [
        f"{manifest.count} of {manifest.wanted} pairs of {size.width_px}x{size.height_px} px from {manifest.source}, "
        + ("complete" if manifest.complete else "not finished"),
    ]
    if not pairs:
        return lines
    modes = Counter(pair.mode for pair in pairs)
    times = [_local(pair) for pair in pairs]
    lines.append(
        f"modes      {modes['dynamic']} neighbours (dynamic, band), {modes['static']} long apart (static)"
    )
    if manifest.source.startswith("drawn"):
        lines.append("captured   never: the pairs are drawn")
    else:
        lines.append(
            f"captured   {min(times):%Y-%m-%d %H:%M} to {max(times):%Y-%m-%d %H:%M %Z}; {_hours(times)}"
        )
    static = [pair.seconds_apart for pair in pairs if pair.mode == "static"]
    if static:
        lines.append(f"apart      static pairs {min(static):.3g} to {max(static):.3g} s")
    lines += [
        "",
        "brightness (mean luma, grey levels)",
        *_histogram([pair.brightness for pair in pairs], _LIGHT),
    ]
    lines += [
        "",
        "change to the reference (mean, grey levels)",
        *_histogram([pair.change for pair in pairs], _CHANGE),
    ]
    if manifest.complete:
        lines += ["", f"sha256 {manifest.sha256}"]
    if manifest.count < FEWEST_PAIRS:
        lines.append(f"too few to calibrate with: at least {FEWEST_PAIRS} are needed")
    return lines


_LIGHT = (0, 16, 32, 64, 96, 128, 160, 192, 256)
_CHANGE = (0, 0.25, 0.5, 1, 2, 4, 8, 16, 256)


def _local(pair: PairEntry) -> datetime:
    return pair.captured_at.astimezone()


def _hours(times: list[datetime]) -> str:
    missing = sorted(set(range(24)) - {at.hour for at in times})
    if not missing:
        return "every hour of the day"
    spans: list[list[int]] = []
    for hour in missing:
        if spans and spans[-1][1] == hour:
            spans[-1][1] = hour + 1
        else:
            spans.append([hour, hour + 1])
    return "no pair from " + ", ".join(f"{first:02d}-{last:02d} h" for first, last in spans)


def _histogram(values: list[float], edges: tuple[float, ...]) -> list[str]:
    counts, _ = np.histogram(values, edges)
    scale = _BAR / max(1, int(counts.max()))
    return [
        f"  {low:>5g} to {high:<5g} {count:4d}  {'#' * round(count * scale)}"
        for low, high, count in zip(edges, edges[1:], counts.tolist(), strict=False)
    ]


def draw_sheet(directory: Path, manifest: SetManifest, path: Path) -> None:
    """Draw some frames of the set, spread over it, above histograms, as a PNG: whole or not at all.

    Raises:
        CalibrationFault: a pair of it cannot be read.
        OutputFault: the file cannot be written.
    """
    pairs = manifest.pairs
    chosen = sorted(
        {round(index) for index in np.linspace(0, len(pairs) - 1, min(len(pairs), _COLUMNS * _ROWS))}
    )
    rows = -(-len(chosen) // _COLUMNS)
    aspect = manifest.frame_size.height_px / manifest.frame_size.width_px
    thumbnail_in = 13.0 / _COLUMNS * min(aspect, 1.5) + 0.3
    with figure(13.0, 3.2 + rows * thumbnail_in, dpi=110) as drawn, whole_file(path) as file:
        halves = drawn.add_gridspec(2, 1, height_ratios=(3.2, max(1, rows) * thumbnail_in))
        upper, lower = halves[0], halves[1]
        _draw_histograms(drawn, upper, manifest)
        grid = lower.subgridspec(max(1, rows), _COLUMNS)
        for place, index in enumerate(chosen):
            axes = drawn.add_subplot(grid[divmod(place, _COLUMNS)])
            frame, _reference = read_pair(directory / pairs[index].file)
            axes.imshow(_thumbnail(frame))
            axes.set_title(_caption(pairs[index], manifest), fontsize=8.5, fontweight="normal")
            axes.set_axis_off()
        file.write(png(drawn))


def _caption(pair: PairEntry, manifest: SetManifest) -> str:
    if manifest.source.startswith("drawn"):
        return pair.file.removesuffix(".mkv")
    return f"{_local(pair):%m-%d %H:%M:%S}  {pair.mode} {pair.seconds_apart:.2g} s"


def _draw_histograms(drawn: Figure, place: Any, manifest: SetManifest) -> None:
    pairs = manifest.pairs
    light, change, hours = (drawn.add_subplot(cell) for cell in place.subgridspec(1, 3))
    light.hist([pair.brightness for pair in pairs], bins=list(range(0, 257, 8)), color=BLUE)
    light.set_title("Brightness")
    light.set_xlabel("mean luma (grey levels)")
    light.set_ylabel("pairs")
    edges = np.geomspace(0.05, 50, 31).tolist()
    values = {
        mode: [max(pair.change, 0.05) for pair in pairs if pair.mode == mode]
        for mode in ("dynamic", "static")
    }
    change.hist(
        list(values.values()),
        bins=edges,
        stacked=True,
        color=[BLUE, ORANGE],
        label=["neighbours", "long apart"],
    )
    change.set_xscale("log")
    change.set_title("Change to the reference")
    change.set_xlabel("mean (grey levels)")
    change.legend()
    hours.hist([_local(pair).hour for pair in pairs], bins=list(range(25)), color=BLUE)
    hours.set_title("Hour of the day")
    hours.set_xlabel("local time (h)")
    hours.set_xticks(range(0, 25, 6))
    for axes in (light, change, hours):
        axes.grid(visible=True, axis="y", color=GRID, linewidth=0.7)
        axes.set_axisbelow(True)


def _thumbnail(picture: Picture) -> Picture:
    """A small picture by means over blocks, so that noise does not alias."""
    block = max(1, round(picture.shape[1] / _THUMBNAIL_PX))
    height, width = (side // block * block for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // block, block, width // block, block, 3)
    thumbnail: Picture = blocks.mean(axis=(1, 3)).astype(np.uint8)
    return thumbnail
