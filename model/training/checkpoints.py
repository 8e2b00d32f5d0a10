"""A training run in memory and on disk: exact in its own directory, compact as a file for another machine."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from tremorscope.files import reason_of
from tremorscope.model.errors import CheckpointFault
from tremorscope.model.files import write_atomically
from tremorscope.model.networks.families import Network
from tremorscope.model.training.recipe import Recipe

_FORMAT = "tremorscope-run-1"


@dataclass
class TrainingRun:
    """State of a training run: everything that a checkpoint holds."""

    network: Network
    average: AveragedModel
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0


def save_checkpoint(run: TrainingRun, recipe: Recipe, directory: Path) -> None:
    """Write ``checkpoint.pt``, from which a run resumes bit for bit."""
    content = io.BytesIO()
    torch.save(
        {
            "recipe": recipe.model_dump_json(),
            "step": run.step,
            "seconds": run.seconds,
            "network": run.network.state_dict(),
            "average": run.average.state_dict(),
            "optimiser": run.optimiser.state_dict(),
        },
        content,
    )
    write_atomically(directory / "checkpoint.pt", content.getvalue())


def resume(run: TrainingRun, recipe: Recipe, directory: Path, carried: Path | None = None) -> None:
    """Load a directory's checkpoint into a run; where there is none, the carried run, if one is given.

    Raises:
        CheckpointFault: either is damaged, or another recipe's.
    """
    path = directory / "checkpoint.pt"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            if carried is not None:
                _load_carried(run, recipe, carried)
            return
        saved: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state: dict[str, Tensor] = saved["network"]
    except CheckpointFault:
        raise
    except OSError as error:
        raise CheckpointFault(f"{path}: {reason_of(error)}", remedy="choose another run directory") from None
    except Exception as error:  # torch.load raises many types for a damaged file
        raise CheckpointFault(
            f"{path}: damaged ({type(error).__name__})", remedy="remove it to start again"
        ) from None
    _check_recipe(path, saved["recipe"], recipe)
    run.network.load_state_dict(state)
    run.average.load_state_dict(saved["average"])
    run.optimiser.load_state_dict(saved["optimiser"])
    run.step, run.seconds = saved["step"], saved["seconds"]


def save_carried(run: TrainingRun, recipe: Recipe, path: Path) -> None:
    """Write a run as one file for another machine, in little more than a third of a checkpoint's size.

    Weights are stored exactly; their moving average (as its difference to them) and Adam's moments in 16 bits. A run
    resumed from it is the same within that rounding.
    """
    average = run.average.module.state_dict()
    tensors: dict[str, Tensor] = {}
    for name, value in run.network.state_dict().items():
        tensors[f"network.{name}"] = value
        tensors[f"average.{name}"] = (average[name] - value).to(torch.bfloat16)
    for index, moments in run.optimiser.state_dict()["state"].items():
        for key in ("exp_avg", "exp_avg_sq"):
            tensors[f"optimiser.{index}.{key}"] = moments[key].to(torch.bfloat16)
    header = {
        "format": _FORMAT,
        "recipe": recipe.model_dump_json(),
        "step": str(run.step),
        "seconds": f"{run.seconds:.1f}",
        "averaged": str(int(run.average.n_averaged)),
    }
    whole = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    write_atomically(path, save(whole, header))


def _load_carried(run: TrainingRun, recipe: Recipe, path: Path) -> None:
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise CheckpointFault(f"{path}: {error}", remedy="copy it again, or start without it") from None
    if header.get("format") != _FORMAT:
        raise CheckpointFault(
            f"{path}: not a training run in one file", remedy="name a run.safetensors that a training wrote"
        )
    _check_recipe(path, header["recipe"], recipe)
    network = {name: tensors[f"network.{name}"] for name in run.network.state_dict()}
    run.network.load_state_dict(network)
    average = {name: value + tensors[f"average.{name}"].to(value.dtype) for name, value in network.items()}
    run.average.module.load_state_dict(average)
    run.average.n_averaged.fill_(int(header["averaged"]))
    run.step, run.seconds = int(header["step"]), float(header["seconds"])
    _restore_moments(run, tensors)


def _restore_moments(run: TrainingRun, tensors: dict[str, Tensor]) -> None:
    state = run.optimiser.state_dict()
    for index in (index for group in state["param_groups"] for index in group["params"]):
        moments: dict[str, Tensor] = {"step": torch.tensor(float(run.step))}
        for key in ("exp_avg", "exp_avg_sq"):
            if (kept := tensors.get(f"optimiser.{index}.{key}")) is not None:
                moments[key] = kept.float()
        if len(moments) == 3:
            state["state"][index] = moments
    run.optimiser.load_state_dict(state)


def _check_recipe(path: Path, saved_json: str, recipe: Recipe) -> None:
    """Refuse a checkpoint of another recipe; only the end may differ, to stop sooner or train longer.

    Raises:
        CheckpointFault: the recipes differ.
    """
    # Read as a recipe, so that keys added since have their defaults.
    saved = Recipe.model_validate_json(saved_json).model_dump(mode="json")
    ours = json.loads(recipe.model_dump_json())
    for key in ("steps", "decay_share"):
        saved["schedule"][key] = ours["schedule"][key]
    if saved != ours:
        raise CheckpointFault(
            f"{path}: belongs to another recipe", remedy="choose another run directory, or restore the recipe"
        )
