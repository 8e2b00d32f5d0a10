"""The command ``tremorscope study``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from tremorscope.commands.evaluate import PROTOCOLS, choose_protocols, rows_of, run_protocols, show_trials

if TYPE_CHECKING:
    from tremorscope.export.studies.study import StudiedCost
    from tremorscope.model.evaluation.evaluate import Magnifier, Trial
    from tremorscope.model.evaluation.scenes import Frame
    from tremorscope.model.networks.families import Network
    from tremorscope.model.training.studies import RemovalStudy, TemporalStudy, VariantStudy


@click.command()
@click.argument("study_file", metavar="STUDY", type=click.Path(path_type=Path))
@click.option("-o", "--output", "directory", type=click.Path(path_type=Path), required=True,
              help="Runs and results; a study that was stopped goes on from there.")  # fmt: skip
@click.option("--photographs", type=click.Path(path_type=Path),
              help="A folder of photographs to train on, beside the drawn pictures.")  # fmt: skip
@click.option("--judged-on", type=click.Path(path_type=Path), required=True,
              help="A folder of other photographs, to judge on.")  # fmt: skip
@click.option("--most", type=click.IntRange(min=1), help="Judge on the first so many photographs only.")
@click.option("--protocol", "chosen", type=click.Choice(PROTOCOLS), multiple=True, default=("subpixel", "noise"),
              show_default=True, help="Judge by this one; may be given several times.")  # fmt: skip
@click.option("--start-from", type=click.Path(path_type=Path),
              help="Learning to remove: the trained baseline.")  # fmt: skip
@click.option("--device", default="cpu", show_default=True, help="To train on: cpu or cuda.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of a step.  [default: all cores]")
def study(
    study_file: Path,
    directory: Path,
    photographs: Path | None,
    judged_on: Path,
    most: int | None,
    chosen: tuple[str, ...],
    start_from: Path | None,
    device: str,
    threads: int | None,
) -> None:
    """Train variants of a network alike, judge them on the same frames, and set what they cost beside it.

    STUDY is a YAML file; configs/studies/ has those whose results stand in docs/results.md.
    """
    import torch

    # Before hours of training: what judging needs may not be installed.
    from tremorscope.export.studies.runners import network_magnifier
    from tremorscope.export.studies.study import run_removal, run_variants, trainer
    from tremorscope.model.evaluation.scenes import read_evaluation_photographs
    from tremorscope.model.training.studies import RemovalStudy, TemporalStudy, base_recipe, load_study

    if threads:
        torch.set_num_threads(threads)
    asked = load_study(study_file)
    if isinstance(asked, RemovalStudy) and start_from is None:
        raise click.UsageError("learning to remove needs --start-from, the weights of a trained baseline")
    pictures = read_evaluation_photographs(judged_on, most)
    click.echo(f"{asked.question}\n")
    if isinstance(asked, TemporalStudy):
        _temporal(asked, pictures, directory)
        return
    base, train_one = base_recipe(asked, study_file), trainer(photographs, device)
    figures: dict[str, Any] = {}
    if isinstance(asked, RemovalStudy):
        assert start_from is not None
        removal = run_removal(asked, base, directory, start_from, train_one)
        networks = removal.networks
        click.echo("module         part              kept   of")
        for each in removal.survivors:
            click.echo(f"{each.module:<13}  {each.part:<15} {each.kept:6d} {each.of:4d}")
        click.echo(f"\nremoved: {', '.join(removal.removed) or 'nothing'}\n")
        figures = {
            "survivors": [vars(each) for each in removal.survivors],
            "removed": removal.removed,
            "gates": removal.gates,
        }
        _draw_gates(asked, directory)
    else:
        networks = run_variants(asked, base, directory, train_one)
    magnifiers = {name: network_magnifier(network) for name, network in networks.items()}
    _judge(asked, networks, magnifiers, pictures, chosen, directory, figures)


def _judge(
    asked: VariantStudy | RemovalStudy, networks: dict[str, Network], magnifiers: dict[str, Magnifier],
    pictures: list[Frame], chosen: tuple[str, ...], directory: Path, figures: dict[str, Any],
) -> None:  # fmt: skip
    from tremorscope.export.studies.study import measure_costs

    costs = measure_costs(networks)
    _show_costs(costs)
    protocols = choose_protocols(pictures, chosen)
    found = run_protocols(protocols, magnifiers, "judge")
    for name, protocol in protocols.items():
        click.echo(f"\n{protocol.name}, {len(pictures)} photographs: SSIM / reached px (spread)")
        show_trials(name, found[name])
    figures |= {"question": asked.question, "costs": {name: vars(cost) for name, cost in costs.items()}}
    _write(found, figures, directory)


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


def _show_costs(costs: dict[str, StudiedCost]) -> None:
    click.echo(f"{'':<20}kMAC/px  parameters  ms a frame of 640x360 (PyTorch, CPU)")
    for name, cost in costs.items():
        click.echo(f"{name:<20}{cost.kmac_per_pixel:7.1f}  {cost.parameters:10,}  {cost.step_ms:10.1f}")


def _draw_gates(asked: RemovalStudy, directory: Path) -> None:
    from tremorscope.export.studies.evaluation_pictures import draw_gates

    draw_gates(directory / "gated" / "log.jsonl", asked.closed_below, directory / "gates.png")


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
