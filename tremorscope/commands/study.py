"""The command ``tremorscope study``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from tremorscope.commands.options import PROTOCOLS


@click.command()
@click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "directory",
    type=click.Path(path_type=Path),
    required=True,
    help="Runs and results; a study that was stopped goes on from there.",
)
@click.option(
    "--photographs",
    type=click.Path(path_type=Path),
    help="A folder of photographs to train on, beside the drawn pictures.",
)
@click.option(
    "--judged-on",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder of other photographs, to judge on.",
)
@click.option("--most", type=click.IntRange(min=1), help="Judge on the first so many photographs only.")
@click.option(
    "--protocol",
    "chosen",
    type=click.Choice(PROTOCOLS),
    multiple=True,
    default=("subpixel", "noise"),
    show_default=True,
    help="Judge by this one; may be given several times.",
)
@click.option(
    "--start-from", type=click.Path(path_type=Path), help="Learning to remove: the trained baseline."
)
@click.option("--device", default="cpu", show_default=True, help="To train on: cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a step.  [default: all cores]")
def study(study_file: Path, start_from: Path | None, **options: Any) -> None:
    """Train variants of a network alike, judge them on the same frames, and set what they cost beside it.

    STUDY is a YAML file; configs/studies/ has those whose results stand in docs/results.md.
    """
    from tremorscope.export.studies.study_job import StudyJob, run_study
    from tremorscope.model.training.studies import RemovalStudy, load_study
    from tremorscope.runtime.host.progress import progress_bar

    asked = load_study(study_file)
    if isinstance(asked, RemovalStudy) and start_from is None:
        raise click.UsageError("learning to remove needs --start-from, the weights of a trained baseline")
    job = StudyJob(asked, study_file, start_from=start_from, **options)
    with progress_bar("study", "trials") as bar:
        for line in run_study(job, bar):
            bar.line(line)
