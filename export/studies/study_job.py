"""A study from its description to its results: variants trained, judged on the same frames, their cost beside them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tremorscope.export.studies.evaluation_job import (
    Progress,
    Trials,
    choose_protocols,
    rows_of,
    run_protocols,
    trial_table,
)
from tremorscope.export.studies.evaluation_pictures import draw_curves, draw_gates
from tremorscope.export.studies.runners import network_magnifier
from tremorscope.export.studies.study import (
    Removal,
    StudiedCost,
    measure_costs,
    run_removal,
    run_variants,
    trainer,
)
from tremorscope.export.studies.temporal import run_temporal
from tremorscope.model.errors import WeightsFault
from tremorscope.model.evaluation.evaluate import write_csv
from tremorscope.model.evaluation.scenes import Frame, read_evaluation_photographs
from tremorscope.model.files import write_atomically
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.model.training.studies import RemovalStudy, Study, TemporalStudy, base_recipe


@dataclass(frozen=True)
class StudyJob:
    """Options of ``tremorscope study``."""

    study: Study
    study_file: Path
    directory: Path
    photographs: Path | None
    judged_on: Path
    most: int | None
    chosen: tuple[str, ...]
    start_from: Path | None
    """Weights of a trained baseline; a removal study needs them."""
    device: str
    threads: int | None


def run_study(job: StudyJob, on_progress: Progress) -> Iterator[str]:
    """Train, judge and write; yields the lines of the tables as they are found.

    Raises:
        RecipeFault, ImageFault, CheckpointFault, WeightsFault: a file cannot be used.
    """
    if job.threads:
        torch.set_num_threads(job.threads)
    study = job.study
    pictures = read_evaluation_photographs(job.judged_on, job.most)
    yield f"{study.question}\n"
    if isinstance(study, TemporalStudy):
        yield from _judge_temporal(study, pictures, job.directory, on_progress)
        return
    base, train_one = base_recipe(study, job.study_file), trainer(job.photographs, job.device)
    figures: dict[str, Any] = {}
    if isinstance(study, RemovalStudy):
        assert job.start_from is not None
        removal = run_removal(study, base, job.directory, job.start_from, train_one)
        yield from _removal_table(removal)
        draw_gates(job.directory / "gated" / "log.jsonl", study.closed_below, job.directory / "gates.png")
        networks = removal.networks
        survivors = [vars(each) for each in removal.survivors]
        figures = {"survivors": survivors, "removed": removal.removed, "gates": removal.gates}
    else:
        networks = run_variants(study, base, job.directory, train_one)
    costs = measure_costs(networks)
    yield from _cost_table(costs)
    figures |= {"question": study.question, "costs": {name: vars(cost) for name, cost in costs.items()}}
    magnifiers = {name: network_magnifier(network) for name, network in networks.items()}
    protocols = choose_protocols(pictures, job.chosen)
    found = run_protocols(protocols, magnifiers, on_progress)
    for name, protocol in protocols.items():
        yield f"\n{protocol.name}, {len(pictures)} photographs: SSIM / reached px (spread)"
        yield from trial_table(name, found[name])
    yield _write(found, figures, job.directory)


def _removal_table(removal: Removal) -> Iterator[str]:
    yield "module         part              kept   of"
    for each in removal.survivors:
        yield f"{each.module:<13}  {each.part:<15} {each.kept:6d} {each.of:4d}"
    yield f"\nremoved: {', '.join(removal.removed) or 'nothing'}\n"


def _cost_table(costs: Mapping[str, StudiedCost]) -> Iterator[str]:
    yield f"{'':<20}kMAC/px  parameters  ms a frame of 640x360 (PyTorch, CPU)"
    for name, cost in costs.items():
        yield f"{name:<20}{cost.kmac_per_pixel:7.1f}  {cost.parameters:10,}  {cost.step_ms:10.1f}"


def _judge_temporal(
    study: TemporalStudy, pictures: list[Frame], directory: Path, on_progress: Progress
) -> Iterator[str]:
    network = load_weights(find_weights(study.model)).network
    if not isinstance(network, RealtimeNetwork):
        raise WeightsFault(f"{study.model}: has no band mode", remedy="name weights of the realtime family")
    series = []
    for trials in run_temporal(study, network, pictures):
        series.append(trials)
        on_progress(len(series), len(study.noise_grey_levels))
    yield f"{len(pictures)} photographs: SSIM / reached px (spread)"
    yield from trial_table("temporal", series)
    yield _write({"temporal": series}, {"question": study.question}, directory)


def _write(found: Trials, figures: dict[str, Any], directory: Path) -> str:
    """Write the results; returns the line that names the files."""
    rows = rows_of(found, "variant")
    directory.mkdir(parents=True, exist_ok=True)
    write_csv(rows, directory / "study.csv")
    draw_curves(found, directory / "study.png")
    write_atomically(directory / "study.json", json.dumps(figures | {"trials": rows}, indent=2).encode())
    return f"\nwritten: {directory}/study.csv, study.json, study.png"
