"""Judging of magnifiers side by side on the field's protocols: tables as lines, and the files of the results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tremorscope.export.studies.evaluation_pictures import draw_curves, draw_examples
from tremorscope.export.studies.runners import open_magnifiers
from tremorscope.model.evaluation import field_protocols, small_motion, straightness
from tremorscope.model.evaluation.evaluate import (
    Magnifier,
    Protocol,
    Trial,
    standard_protocols,
    still_frame_ssim,
    still_noise_gain,
    write_csv,
)
from tremorscope.model.evaluation.scenes import Frame, read_evaluation_photographs

Rows = list[dict[str, object]]


def _structures(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    yield from _table_head(
        "structures: SSIM / centre line off by px, RMS and median / change of what is still", pictures, opened
    )
    yield from _table(
        straightness.run(opened, pictures),
        lambda t: f"{t.kind}, {t.displacement_px:g} -> {t.target_px:g} px",
        lambda t: (
            f"{t.ssim:.3f} / {t.centre_line_px:5.2f} {t.centre_line_median_px:4.2f} / {t.still_change:4.2f}"
        ),
        rows,
    )


def _small_motion(opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows) -> Iterator[str]:
    yield from _table_head(
        "small motion: gain over what is asked (spread) / harmonics in %", pictures, opened
    )
    yield from _table(
        small_motion.run(opened, pictures),
        lambda t: f"{t.displacement_px:g} px x{t.amplification:g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.gain:.3f} ({t.gain_spread:.3f}) / {100 * t.harmonics:4.1f} %",
        rows,
    )


def _field(
    name: str, opened: Mapping[str, Magnifier], pictures: Sequence[Frame], rows: Rows
) -> Iterator[str]:
    """A protocol of `model.evaluation.field_protocols`, by its name there."""
    yield from _table_head(f"{name}: SSIM (spread between scenes) / PSNR in dB", pictures, opened)
    yield from _table(
        field_protocols.run(opened, field_protocols.field_cases(name, pictures)),
        lambda t: f"{t.kind}: {t.displacement_px:g} px x{t.amplification:.4g}, noise {t.noise_grey_levels:g}",
        lambda t: f"{t.ssim:.3f} ({t.ssim_spread:.2f}) / {t.psnr_db:5.2f}",
        rows,
    )


def _table_head(title: str, pictures: Sequence[Frame], opened: Mapping[str, Magnifier]) -> Iterator[str]:
    what, _, figures = title.partition(":")
    yield f"\n{what}, {len(pictures)} photographs:{figures}"
    yield f"{'':<40}" + "".join(f"  {title:>24}" for title in opened)


def _table(
    series: Iterable[Mapping[str, Any]],
    case: Callable[[Any], str],
    figures: Callable[[Any], str],
    rows: Rows,
) -> Iterator[str]:
    for trials in series:
        first = next(iter(trials.values()))
        rows += [{"magnifier": title, **vars(trial)} for title, trial in trials.items()]
        yield f"{case(first):<40}" + "".join(
            f"  {figures(trial):>{max(24, len(t))}}" for t, trial in trials.items()
        )


_Judge = Callable[[Mapping[str, Magnifier], Sequence[Frame], Rows], Iterator[str]]
JUDGES: Mapping[str, _Judge] = {
    "structures": _structures,
    "small-motion": _small_motion,
    **{name: partial(_field, name) for name in field_protocols.NAMES},
}
"""Judge of each protocol by its name: yields the lines of its table as they are found, and appends to the rows."""


Progress = Callable[[int, int], None]
"""Trials done, trials in all."""
Trials = dict[str, list[dict[str, Trial]]]
"""Results by protocol: for each trial, in order, a dictionary by magnifier."""


@dataclass(frozen=True)
class EvaluationJob:
    """Options of ``tremorscope evaluate``."""

    models: tuple[str, ...]
    photographs: Path
    most: int | None
    protocols: tuple[str, ...]
    directory: Path | None


def evaluate(job: EvaluationJob, on_progress: Progress) -> Iterator[str]:
    """Judge all models on the same frames; yields the lines of the tables as they are found.

    Raises:
        BundleFault, WeightsFault, ImageFault: a model or the photographs cannot be read.
    """
    magnifiers = open_magnifiers(job.models)
    pictures = read_evaluation_photographs(job.photographs, job.most)
    protocols = choose_protocols(pictures, job.protocols)
    found = run_protocols(protocols, magnifiers, on_progress)
    for name, protocol in protocols.items():
        yield f"\n{protocol.name}, {len(pictures)} photographs: SSIM / reached px (spread between scenes)"
        yield from trial_table(name, found[name])
    alone: dict[str, Rows] = {name: [] for name in JUDGES if name in job.protocols}
    for name, rows in alone.items():
        yield from JUDGES[name](magnifiers, pictures, rows)
    if found:
        yield from _still_scenes(magnifiers, pictures)
    if job.directory:
        written = _write(found, alone, job.directory)
        if found:
            draw_examples(magnifiers, pictures, job.directory / "examples.png")
            written.insert(2, "examples.png")
        yield f"\nwritten: {', '.join(f'{job.directory}/{name}' for name in written)}"


def choose_protocols(pictures: Sequence[Frame], names: Sequence[str]) -> dict[str, Protocol]:
    """The named protocols, in their standard order, on these photographs."""
    return {name: each for name, each in standard_protocols(pictures).items() if name in names}


def run_protocols(
    protocols: Mapping[str, Protocol], magnifiers: Mapping[str, Magnifier], on_progress: Progress
) -> Trials:
    """Results of each trial of each protocol."""
    found: Trials = {}
    done, total = 0, sum(len(protocol.trials) for protocol in protocols.values())
    for name, protocol in protocols.items():
        found[name] = []
        for trials in protocol.run(magnifiers):
            found[name].append(trials)
            done += 1
            on_progress(done, total)
    return found


def rows_of(found: Mapping[str, Sequence[Mapping[str, Trial]]], column: str) -> list[dict[str, object]]:
    """Rows of a CSV, one a trial; ``column`` is the name of the magnifier's column."""
    return [
        {"protocol": name, column: title, **vars(trial)}
        for name, series in found.items()
        for trials in series
        for title, trial in trials.items()
    ]


def trial_table(protocol: str, series: Sequence[Mapping[str, Trial]]) -> Iterator[str]:
    """Lines of a table: a line a magnifier, a column a trial."""
    heads = [_head(protocol, next(iter(trials.values()))) for trials in series]
    width = max(28, *map(len, series[0]))
    yield " " * width + "".join(f"{head:>24}" for head in heads)
    for title in series[0]:
        cells = (
            f"{t.ssim:.3f}/{t.reached_px:5.2f} ({t.ssim_spread:.2f}/{t.reached_spread_px:.2f})"
            for t in (trials[title] for trials in series)
        )
        yield f"{title:<{width}}" + "".join(f"{cell:>24}" for cell in cells)


def _head(protocol: str, trial: Trial) -> str:
    if protocol in ("noise", "temporal"):
        return f"noise {trial.noise_grey_levels:g}"
    if protocol == "texture":
        return f"period {trial.period_px:g} px"
    return f"{trial.displacement_px:g} px"


def _still_scenes(magnifiers: Mapping[str, Magnifier], pictures: Sequence[Frame]) -> Iterator[str]:
    yield "\nstill scenes" + " " * 24 + "SSIM at 1x   noise gain at 20x"
    for title, magnify in magnifiers.items():
        yield f"{title:<36}{still_frame_ssim(magnify, pictures):10.4f}   {still_noise_gain(magnify, pictures):17.3f}"


def _write(found: Trials, alone: Mapping[str, Rows], directory: Path) -> list[str]:
    """Write the tables and the curves; returns the names of the files."""
    written = []
    if found:
        write_csv(rows_of(found, "magnifier"), directory / "evaluation.csv")
        draw_curves(found, directory / "evaluation.png")
        written += ["evaluation.csv", "evaluation.png"]
    for name, rows in alone.items():
        write_csv(rows, directory / f"{name}.csv")
        written.append(f"{name}.csv")
    return written
