"""The command ``tremorscope study``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from tremorscope.commands.evaluate import PROTOCOLS, choose_protocols, rows_of, run_protocols, show_trials

if TYPE_CHECKING:
    from tremorscope.export.studies.study import TrainOne
    from tremorscope.model.evaluation.evaluate import Magnifier, Trial
    from tremorscope.model.evaluation.scenes import Frame
    from tremorscope.model.networks.families import Network
    from tremorscope.model.training.recipe import Recipe
    from tremorscope.model.training.studies import RemovalStudy, TemporalStudy


@dataclass(frozen=True)
class StudyJob:
    """Options of ``tremorscope study``."""

    study_file: Path
    directory: Path
    photographs: Path | None
    judged_on: Path
    most: int | None
    chosen: tuple[str, ...]
    start_from: Path | None
    device: str
    threads: int | None


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
def study(**options: Any) -> None:
    """Train variants of a network alike, judge them on the same frames, and set what they cost beside it.

    STUDY is a YAML file; configs/studies/ has those whose results stand in docs/results.md.
    """
    import torch

    # Imported before hours of training, for a part that is missing shows at once.
    from tremorscope.export.studies.runners import network_magnifier
    from tremorscope.export.studies.study import run_variants, trainer
    from tremorscope.model.evaluation.scenes import read_evaluation_photographs
    from tremorscope.model.training.studies import RemovalStudy, TemporalStudy, base_recipe, load_study

    job = StudyJob(**options)
    if job.threads:
        torch.set_num_threads(job.threads)
    asked = load_study(job.study_file)
    if isinstance(asked, RemovalStudy) and job.start_from is None:
        raise click.UsageError("learning to remove needs --start-from, the weights of a trained baseline")
    pictures = read_evaluation_photographs(job.judged_on, job.most)
    click.echo(f"{asked.question}\n")
    if isinstance(asked, TemporalStudy):
        _temporal(asked, pictures, job.directory)
        return
    base, train_one = base_recipe(asked, job.study_file), trainer(job.photographs, job.device)
    figures: dict[str, Any] = {}
    if isinstance(asked, RemovalStudy):
        networks, figures = _remove(asked, base, job, train_one)
    else:
        networks = run_variants(asked, base, job.directory, train_one)
    magnifiers = {name: network_magnifier(network) for name, network in networks.items()}
    figures |= {"question": asked.question, "costs": _costs(networks)}
    found = _judge(magnifiers, pictures, job.chosen)
    _write(found, figures, job.directory)


def _remove(
    asked: RemovalStudy, base: Recipe, job: StudyJob, train_one: TrainOne
) -> tuple[dict[str, Network], dict[str, Any]]:
    """Learn to remove: the networks to judge, and the figures for study.json; shows a table and draws the gates."""
    from tremorscope.export.studies.evaluation_pictures import draw_gates
    from tremorscope.export.studies.study import run_removal

    assert job.start_from is not None
    removal = run_removal(asked, base, job.directory, job.start_from, train_one)
    click.echo("module         part              kept   of")
    for each in removal.survivors:
        click.echo(f"{each.module:<13}  {each.part:<15} {each.kept:6d} {each.of:4d}")
    click.echo(f"\nremoved: {', '.join(removal.removed) or 'nothing'}\n")
    draw_gates(job.directory / "gated" / "log.jsonl", asked.closed_below, job.directory / "gates.png")
    return removal.networks, {
        "survivors": [vars(each) for each in removal.survivors],
        "removed": removal.removed,
        "gates": removal.gates,
    }


def _costs(networks: dict[str, Network]) -> dict[str, dict[str, float]]:
    """Measure and show the cost of each network."""
    from tremorscope.export.studies.study import measure_costs

    costs = measure_costs(networks)
    click.echo(f"{'':<20}kMAC/px  parameters  ms a frame of 640x360 (PyTorch, CPU)")
    for name, cost in costs.items():
        click.echo(f"{name:<20}{cost.kmac_per_pixel:7.1f}  {cost.parameters:10,}  {cost.step_ms:10.1f}")
    return {name: vars(cost) for name, cost in costs.items()}


def _judge(
    magnifiers: dict[str, Magnifier], pictures: list[Frame], chosen: tuple[str, ...]
) -> dict[str, list[dict[str, Trial]]]:
    protocols = choose_protocols(pictures, chosen)
    found = run_protocols(protocols, magnifiers, "judge")
    for name, protocol in protocols.items():
        click.echo(f"\n{protocol.name}, {len(pictures)} photographs: SSIM / reached px (spread)")
        show_trials(name, found[name])
    return found


def _temporal(asked: TemporalStudy, pictures: list[Frame], directory: Path) -> None:
    from tremorscope.export.studies.temporal import run_temporal
    from tremorscope.model.errors import WeightsFault
    from tremorscope.model.networks.realtime import RealtimeNetwork
    from tremorscope.model.networks.weights import find_weights, load_weights

    network = load_weights(find_weights(asked.model)).network
    if not isinstance(network, RealtimeNetwork):
        raise WeightsFault(f"{asked.model}: has no band mode", remedy="name weights of the realtime family")
    series = []
    with tqdm(total=len(asked.noise_grey_levels), unit="level", desc="films", disable=None) as progress:
        for trials in run_temporal(asked, network, pictures):
            series.append(trials)
            progress.update()
    click.echo(f"{len(pictures)} photographs: SSIM / reached px (spread)")
    show_trials("temporal", series)
    _write({"temporal": series}, {"question": asked.question}, directory)


def _write(found: dict[str, list[dict[str, Trial]]], figures: dict[str, Any], directory: Path) -> None:
    import json

    from tremorscope.export.studies.evaluation_pictures import draw_curves
    from tremorscope.model.evaluation.evaluate import write_csv
    from tremorscope.model.files import write_atomically

    rows = rows_of(found, "variant")
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(rows, directory / "study.csv")
    draw_curves(found, directory / "study.png")
    write_atomically(directory / "study.json", json.dumps(figures | {"trials": rows}, indent=2).encode())
    click.echo(f"\nwritten: {directory}/study.csv, study.json, study.png")
