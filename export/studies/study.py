"""Run a study: train its variants, and count and time them side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from tremorscope.export.timing.turns import median_ms
from tremorscope.model.errors import WeightsFault
from tremorscope.model.networks.baseline import BaselineNetwork
from tremorscope.model.networks.cost import macs_per_pixel, parameter_count
from tremorscope.model.networks.families import Network, describe
from tremorscope.model.networks.removal import Survivors, closed, fold, gates_of, survivors
from tremorscope.model.networks.weights import TrainedNetwork, load_weights, save_weights
from tremorscope.model.training.recipe import Recipe
from tremorscope.model.training.studies import RemovalStudy, VariantStudy
from tremorscope.model.training.train import train

TIMED_SIZE_PX = (640, 360)
_GATES_NOTED = 20
"""Points of every gate's curve; gates are logged at each validation."""
TrainOne = Callable[[Recipe, Path, Path | None], Path]
"""recipe, directory, weights to start from -> weights."""


@dataclass(frozen=True)
class StudiedCost:
    """Cost of a network of a study."""

    kmac_per_pixel: float
    parameters: int
    step_ms: float
    """Median time of a frame of 640x360 px in PyTorch on the CPU; the networks took turns."""


def trainer(photographs: Path | None, device: str) -> TrainOne:
    """A function that trains a recipe, or resumes the run in its directory."""

    def one(recipe: Recipe, directory: Path, start_from: Path | None) -> Path:
        return train(recipe, directory, photographs, device, start_from)

    return one


def run_variants(
    study: VariantStudy, base: Recipe, directory: Path, train_one: TrainOne
) -> dict[str, Network]:
    """Train every variant in a directory of its own; finished ones are only read.

    Raises:
        RecipeFault, ImageFault, CheckpointFault: see `model.training.train.train`.
    """
    recipes = study.recipes(base)  # all are checked before the first is trained
    return {
        name: load_weights(train_one(recipe, directory / name, None)).network
        for name, recipe in recipes.items()
    }


@dataclass(frozen=True)
class Removal:
    """Result of learning to remove."""

    networks: dict[str, Network]
    removed: tuple[str, ...]
    survivors: list[Survivors]
    gates: dict[str, float]
    """Final value of every gate, by part."""


def run_removal(
    study: RemovalStudy, base: Recipe, directory: Path, start_from: Path, train_one: TrainOne
) -> Removal:
    """Train gates, close and fold them, refine the rest; also the baseline with a linear encoder.

    Raises:
        WeightsFault: ``start_from`` holds no baseline.
        RecipeFault, ImageFault, CheckpointFault: see `model.training.train.train`.
    """
    whole = load_weights(start_from)
    if not isinstance(whole.network, BaselineNetwork):
        raise WeightsFault(
            f"{start_from}: not a baseline",
            remedy="train one by configs/train-baseline.yaml and name its weights",
        )
    network = describe(whole.network.config)
    penalty = {"gate_penalty": study.gate_penalty}
    recipe = study.recipe_for(base, "gated", network | {"gated": True}, penalty)
    often = recipe.validation.model_copy(
        update={"every_steps": max(1, recipe.schedule.steps // _GATES_NOTED)}
    )
    recipe = recipe.model_copy(update={"validation": often})
    with_gates = load_weights(train_one(recipe, directory / "gated", start_from)).network
    assert isinstance(with_gates, BaselineNetwork)
    gates = list(gates_of(with_gates))
    removed = closed(gates, study.closed_below)
    encoder = tuple(gate.name for gate in gates if gate.module == "encoder")
    networks: dict[str, Network] = {"baseline": whole.network}
    for name, parts in (("what is left", removed), ("linear encoder", encoder)):
        folder = name.replace(" ", "-")
        folded = fold(with_gates, parts)
        start = _save(folded, whole, directory / f"{folder}.safetensors")
        refined = study.recipe_for(base, folder, describe(folded.config), study.refine)
        networks[name] = load_weights(train_one(refined, directory / folder, start)).network
    values = {gate.name: gate.value.item() for gate in gates}
    return Removal(networks, removed, survivors(gates, removed), values)


def _save(folded: BaselineNetwork, whole: TrainedNetwork, path: Path) -> Path:
    amplification = (whole.amplification_min, whole.amplification_max)
    save_weights(path, path.stem, folded, folded.state_dict(), amplification, {"folded_from": whole.sha256})
    return path


def measure_costs(networks: Mapping[str, Network], rounds: int = 5) -> dict[str, StudiedCost]:
    """Count and time networks, alternating in every round, so that the machine's load affects all alike."""
    width_px, height_px = TIMED_SIZE_PX
    frame, reference = torch.rand(2, 1, 3, height_px, width_px, generator=torch.Generator().manual_seed(0))
    steps = {
        name: partial(network, frame, reference, torch.tensor([20.0])) for name, network in networks.items()
    }
    with torch.no_grad():
        found_ms = median_ms(steps, rounds, time.perf_counter)
    return {
        name: StudiedCost(
            round(macs_per_pixel(network) / 1e3, 1),
            parameter_count(network),
            round(found_ms[name], 1),
        )
        for name, network in networks.items()
    }
