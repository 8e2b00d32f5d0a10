"""The command ``tremorscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from tqdm import tqdm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tremorscope.model.evaluation.evaluate import Magnifier, Protocol, Trial
    from tremorscope.model.evaluation.scenes import Frame
    from tremorscope.model.evaluation.straightness import StructureTrial

PROTOCOLS = ("subpixel", "subpixel-4px", "noise", "blob", "texture")
STRUCTURES = "structures"
"""The protocol of `model.evaluation.straightness`, whose trials have other figures."""


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--photographs", type=click.Path(path_type=Path), required=True, help="Folder of photographs to judge on."
)
@click.option("--most", type=click.IntRange(min=1), help="Judge on the first so many photographs only.")
@click.option(
    "--protocol",
    "chosen",
    type=click.Choice((*PROTOCOLS, STRUCTURES)),
    multiple=True,
    help="Run this one only; may be given several times.  [default: all]",
)
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    help="Write evaluation.csv, .png, examples.png and structures.csv into this directory.",
)
def evaluate(
    models: tuple[str, ...],
    photographs: Path,
    most: int | None,
    chosen: tuple[str, ...],
    directory: Path | None,
) -> None:
    """Judge magnifiers on the field's protocols, all on the same frames.

    MODEL is the name of shipped weights (realtime, lite, baseline), a weights file, a bundle's directory, or one of the
    methods to compare with: unmagnified, linear-eulerian, phase-based.

    \b
    subpixel      whole photographs shifted by 0.01 to 1 px, magnified to 10 px
    subpixel-4px  the same, to 4 px
    noise         0.05 px to 10 px, under noise of 0.5 to 8 grey levels
    blob          a disc that moves over a still background, to 10 px
    texture       random texture with periods from 4 to 64 px, 0.1 px to 10 px
    structures    cables, lattices, masts, discs and plates that move, bend, turn, grow or shear before a still
                  background, with noise of 1 grey level

    Beside these: SSIM of a still frame at amplification 1, and how much a still scene's noise grows at 20.
    """
    from tremorscope.export.studies.runners import open_magnifier
    from tremorscope.model.evaluation.scenes import read_evaluation_photographs

    opened = dict(open_magnifier(model) for model in dict.fromkeys(models))
    pictures = read_evaluation_photographs(photographs, most)
    names = chosen or (*PROTOCOLS, STRUCTURES)
    protocols = choose_protocols(pictures, names)
    found = run_protocols(protocols, opened, "evaluate")
    for name, protocol in protocols.items():
        click.echo(
            f"\n{protocol.name}, {len(pictures)} photographs: SSIM / reached px (spread between scenes)"
        )
        show_trials(name, found[name])
    structures = _judge_structures(opened, pictures) if STRUCTURES in names else []
    if found:
        _show_stills(opened, pictures)
    if directory:
        written = _write(found, structures, opened, pictures, directory)
        click.echo(f"\nwritten: {', '.join(f'{directory}/{name}' for name in written)}")


def _judge_structures(
    opened: Mapping[str, Magnifier], pictures: Sequence[Frame]
) -> list[dict[str, StructureTrial]]:
    from tremorscope.model.evaluation.straightness import run

    click.echo(
        f"\nstructures, {len(pictures)} photographs: SSIM / centre line off by px / change of what is still"
    )
    click.echo(f"{'':<30}" + "".join(f"{title:>26}" for title in opened))
    found = []
    for trials in run(opened, pictures):
        found.append(trials)
        first = next(iter(trials.values()))
        case = f"{first.kind}, {first.displacement_px:g} -> {first.target_px:g} px"
        cells = (f"{t.ssim:.3f} / {t.centre_line_px:5.2f} / {t.still_change:4.2f}" for t in trials.values())
        click.echo(f"{case:<30}" + "".join(f"{cell:>26}" for cell in cells))
    return found


def _show_stills(opened: Mapping[str, Magnifier], pictures: Sequence[Frame]) -> None:
    from tremorscope.model.evaluation.evaluate import still_frame_ssim, still_noise_gain

    click.echo("\nstill scenes" + " " * 24 + "SSIM at 1x   noise gain at 20x")
    stills = {
        title: (still_frame_ssim(run, pictures), still_noise_gain(run, pictures))
        for title, run in opened.items()
    }
    for title, (score, gain) in stills.items():
        click.echo(f"{title:<36}{score:10.4f}   {gain:17.3f}")


def _write(
    found: dict[str, list[dict[str, Trial]]],
    structures: list[dict[str, StructureTrial]],
    opened: Mapping[str, Magnifier],
    pictures: Sequence[Frame],
    directory: Path,
) -> list[str]:
    from tremorscope.export.studies.evaluation_pictures import draw_curves, draw_examples
    from tremorscope.model.evaluation.evaluate import write_csv

    written = []
    if found:
        write_csv(rows_of(found, "magnifier"), directory / "evaluation.csv")
        draw_curves(found, directory / "evaluation.png")
        draw_examples(opened, pictures, directory / "examples.png")
        written += ["evaluation.csv", "evaluation.png", "examples.png"]
    if structures:
        rows: list[dict[str, object]] = [
            {"magnifier": title, **vars(trial)} for trials in structures for title, trial in trials.items()
        ]
        write_csv(rows, directory / "structures.csv")
        written.append("structures.csv")
    return written


def choose_protocols(pictures: Sequence[Frame], names: Sequence[str]) -> dict[str, Protocol]:
    """The named protocols, in their standard order, on these photographs."""
    from tremorscope.model.evaluation.evaluate import standard_protocols

    every = dict(zip(PROTOCOLS, standard_protocols(pictures), strict=True))
    return {name: protocol for name, protocol in every.items() if name in names}


def run_protocols(
    protocols: Mapping[str, Protocol], magnifiers: Mapping[str, Magnifier], title: str
) -> dict[str, list[dict[str, Trial]]]:
    """Results of each trial of each protocol by magnifier; progress is shown under the title."""
    found: dict[str, list[dict[str, Trial]]] = {}
    total = sum(len(protocol.trials) for protocol in protocols.values())
    with tqdm(total=total, unit="trial", desc=title, disable=None) as progress:
        for name, protocol in protocols.items():
            found[name] = []
            for trials in protocol.run(magnifiers):
                found[name].append(trials)
                progress.update()
    return found


def rows_of(found: Mapping[str, Sequence[Mapping[str, Trial]]], column: str) -> list[dict[str, object]]:
    """Rows of a CSV, one a trial; ``column`` is the name of the magnifier's column."""
    return [
        {"protocol": name, column: title, **vars(trial)}
        for name, series in found.items()
        for trials in series
        for title, trial in trials.items()
    ]


def show_trials(protocol: str, series: list[dict[str, Trial]]) -> None:
    """Print a table: a line a magnifier, a column a trial."""
    heads = [_head(protocol, next(iter(trials.values()))) for trials in series]
    click.echo(" " * 28 + "".join(f"{head:>22}" for head in heads))
    for title in series[0]:
        cells = (
            f"{t.ssim:.3f}/{t.reached_px:5.2f} ({t.ssim_spread:.2f}/{t.reached_spread_px:.2f})"
            for t in (trials[title] for trials in series)
        )
        click.echo(f"{title:<28}" + "".join(f"{cell:>22}" for cell in cells))


def _head(protocol: str, trial: Trial) -> str:
    if protocol in ("noise", "temporal"):
        return f"noise {trial.noise_grey_levels:g}"
    if protocol == "texture":
        return f"period {trial.period_px:g} px"
    return f"{trial.displacement_px:g} px"
