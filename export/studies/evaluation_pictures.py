"""Pictures of an evaluation: curves over displacement, noise and period, and magnified photographs side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.model.evaluation.evaluate import Conditions, Magnifier, Trial, film
from tremorscope.model.evaluation.scenes import Frame, blobs, whole_frames
from tremorscope.model.files import write_atomically
from tremorscope.model.networks.baseline import BaselineConfig, BaselineNetwork
from tremorscope.model.networks.removal import MODULES, PARTS, gates_of
from tremorscope.runtime.reports.figures import COLOURS, GRID, INK, figure, png

_AXES = {
    "subpixel": ("displacement_px", "true displacement (px), magnified to 10 px"),
    "subpixel-4px": ("displacement_px", "true displacement (px), magnified to 4 px"),
    "noise": ("noise_grey_levels", "noise (grey levels), 0.05 px to 10 px"),
    "blob": ("displacement_px", "true displacement of a disc (px), to 10 px"),
    "temporal": ("noise_grey_levels", "noise (grey levels)"),
    "texture": ("period_px", "period of the texture (px), 0.1 px to 10 px"),
}


def draw_curves(found: Mapping[str, Sequence[Mapping[str, Trial]]], path: Path) -> None:
    """Write a PNG: SSIM above and reached displacement below, a column a protocol, a line a magnifier."""
    with figure(4.2 * len(found) + 1.0, 8.0, dpi=110) as drawn:
        grid: Any = drawn.subplots(2, len(found), squeeze=False)
        for column, (protocol, series) in enumerate(found.items()):
            attribute, label = _AXES[protocol]
            for colour, title in zip((*COLOURS, INK) * 3, series[0], strict=False):
                trials = [trials[title] for trials in series]
                x = [getattr(trial, attribute) for trial in trials]
                grid[0, column].plot(x, [trial.ssim for trial in trials], "o-", color=colour, label=title)
                grid[1, column].plot(x, [trial.reached_px for trial in trials], "o-", color=colour)
            target_px = next(iter(series[0].values())).target_px
            grid[1, column].axhline(target_px, color=INK, linestyle=":", linewidth=1)
            for row, what in enumerate(("SSIM", "reached (px)")):
                shown = grid[row, column]
                shown.set(
                    xscale="log" if min(x) > 0 else "linear",
                    xlabel=label if row else "",
                    ylabel="" if column else what,
                )
                shown.set_xticks(x, [f"{value:g}" for value in x])
                shown.minorticks_off()
                shown.grid(color=GRID, linewidth=0.6)
            grid[0, column].set(ylim=(-0.2, 1), title=protocol)
        drawn.legend(
            *grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(series[0])
        )
        write_atomically(path, png(drawn))


def draw_gates(log: Path, closed_below: float, path: Path) -> None:
    """Write a PNG: every gate over the steps of a training, by module and kind of part."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    steps = [entry["step"] for entry in entries]
    gates = [
        gate
        for gate in gates_of(BaselineNetwork(BaselineConfig(gated=True)))
        if gate.name in entries[-1]["gates"]
    ]
    with figure(11.0, 6.5, dpi=110) as drawn:
        grid: Any = drawn.subplots(len(PARTS), len(MODULES), sharex=True, sharey=True, squeeze=False)
        for row, part in enumerate(PARTS):
            for column, module in enumerate(MODULES):
                shown = grid[row, column]
                for gate in gates:
                    if (gate.module, gate.part) == (module, part):
                        values = [1.0, *(entry["gates"][gate.name] for entry in entries)]
                        shown.plot([0, *steps], values, color=COLOURS[column], linewidth=1.2)
                shown.axhline(closed_below, color=INK, linestyle=":", linewidth=1)
                shown.set(title=f"{module}: {part}" if not row else part, ylim=(-0.1, 1.1))
                shown.grid(color=GRID, linewidth=0.6)
                if row:
                    shown.set_xlabel("step")
            grid[row, 0].set_ylabel("gate")
        write_atomically(path, png(drawn))


def draw_examples(magnifiers: Mapping[str, Magnifier], photographs: Sequence[Frame], path: Path) -> None:
    """Write a PNG: a row a scene (shifted frame, moving disc), columns truth and magnifiers, and their errors below."""
    conditions = Conditions(0.2)
    scenes = [whole_frames(photographs)[0], blobs(photographs)[0]]
    rng = np.random.default_rng(0)
    with figure(3.0 * (len(magnifiers) + 1), 12.4, dpi=90) as drawn:
        grid: Any = drawn.subplots(2 * len(scenes), len(magnifiers) + 1, squeeze=False)
        for row, scene in enumerate(scenes):
            reference, frame, truth = film(scene, conditions, rng)
            results = {"truth": truth} | {
                title: magnify(frame, reference, conditions.amplification)
                for title, magnify in magnifiers.items()
            }
            for column, (title, result) in enumerate(results.items()):
                error = np.abs(result.astype(int) - truth).mean(axis=2)
                for at, picture in ((2 * row, result), (2 * row + 1, error)):
                    axes = grid[at, column]
                    axes.imshow(picture, cmap="magma", vmin=0, vmax=80)
                    axes.set_axis_off()
                grid[2 * row, column].set_title(title, fontsize=9)
                grid[2 * row + 1, column].set_title(f"mean error {error.mean():.1f} grey levels", fontsize=8)
        write_atomically(path, png(drawn))
