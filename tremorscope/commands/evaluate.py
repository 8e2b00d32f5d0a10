"""The command ``tremorscope evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import PROTOCOLS, PROTOCOLS_ALONE

_USUAL = (*PROTOCOLS, "structures")


@click.command()
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--photographs", type=click.Path(path_type=Path), required=True, help="Folder of photographs to judge on."
)
@click.option("--most", type=click.IntRange(min=1), help="Judge on the first so many photographs only.")
@click.option(
    "--protocol",
    "chosen",
    type=click.Choice((*PROTOCOLS, *PROTOCOLS_ALONE)),
    multiple=True,
    help="Run this one only; may be given several times.  [default: all of the first list]",
)
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    help="Write evaluation.csv, .png, examples.png, and the others' CSVs, into this directory.",
)
def evaluate(chosen: tuple[str, ...], **options: Any) -> None:
    """Judge magnifiers on the field's protocols, all on the same frames.

    MODEL is the name of shipped weights (realtime, lite, nano, baseline), a weights file, a bundle's directory, or
    one of the methods to compare with: unmagnified, linear-eulerian, phase-based.

    \b
    subpixel      whole photographs shifted by 0.01 to 1 px, magnified to 10 px
    subpixel-4px  the same, to 4 px
    noise         0.05 px to 10 px, under noise of 0.5 to 8 grey levels
    blob          a disc that moves over a still background, to 10 px
    texture       random texture with periods from 4 to 64 px, 0.1 px to 10 px
    structures    cables, lattices, masts, discs and plates that move, bend, turn, grow or shear before a still
                  background, with noise of 1 grey level

    \b
    Only where they are named:
    small-motion  a sinusoid of 0.01 to 0.1 px, 100 times: gain and harmonics
    axial         two layers that move apart, by displacement and by noise, as Byung-Ki et al. judge (ECCV 2024)
    fd4mm         a disc, by amplification and by noise, as Wang et al. judge (CVPR 2024)
    geomag        a disc that moves, turns, is noisy or blurred, as Han et al. judge (arXiv 2605.29762)

    Beside the first list: SSIM of a still frame at amplification 1, and how much a still scene's noise grows at 20.
    """
    from tremorscope.export.studies.evaluation_job import EvaluationJob
    from tremorscope.export.studies.evaluation_job import evaluate as run
    from tremorscope.runtime.host.progress import progress_bar

    job = EvaluationJob(protocols=chosen or _USUAL, **options)
    with progress_bar("evaluate", "trials") as bar:
        for line in run(job, bar):
            bar.line(line)
