"""Training: one loop that resumes from its last checkpoint after any interruption."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from tremorscope.model.errors import WeightsFault
from tremorscope.model.networks.baseline import BaselineNetwork
from tremorscope.model.networks.families import Network, build_network, describe
from tremorscope.model.networks.layered import FrameLayers
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.removal import gated, gates_of, sparsity
from tremorscope.model.networks.weights import load_weights, save_weights
from tremorscope.model.pairs.images import PictureSet, gather_pictures
from tremorscope.model.pairs.pairs import Pairs, draw_pairs
from tremorscope.model.training.checkpoints import TrainingRun, resume, save_carried, save_checkpoint
from tremorscope.model.training.losses import (
    consistency_loss,
    displacement_loss,
    edge_weight,
    layer_losses,
    magnification_loss,
)
from tremorscope.model.training.processes import Share, shared
from tremorscope.model.training.recipe import Recipe, TrainingSchedule
from tremorscope.model.training.replay import batch_of, kept
from tremorscope.model.training.validation import validate

_VALIDATION_SEED = 1_000_000_007  # far from any training step's seed


def train(
    recipe: Recipe,
    directory: Path,
    photographs: Path | None = None,
    device: str = "cpu",
    start_from: Path | None = None,
    go_on_from: Path | None = None,
) -> Path:
    """Train a network, or resume the run in ``directory``, and return the path of its weights.

    Writes into ``directory``: ``checkpoint.pt`` (to resume), ``log.jsonl`` (one line a validation),
    ``validation.png`` (a contact sheet), ``weights.safetensors`` (the averaged weights) and ``run.safetensors`` (the
    run as one compact file, for another machine), after each validation.

    A new run starts from the weights at ``start_from``, from random ones, or from the run in the file ``go_on_from``.

    Raises:
        ImageFault: there are no pictures to train on.
        WeightsFault: the weights to start from are damaged, or of another network.
        CheckpointFault: the directory holds another recipe's run, or a damaged checkpoint.
    """
    pictures = gather_pictures(
        photographs,
        recipe.pictures.drawn_pictures,
        recipe.pictures.validation_fraction,
        recipe.pairs.window_px,
        recipe.seed,
    )
    torch.manual_seed(recipe.seed)
    where = torch.device(device)
    network = _new_network(recipe, start_from).to(where)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # a third faster on CPUs
    average = get_ema_multi_avg_fn(recipe.schedule.average_decay)  # type: ignore[no-untyped-call]
    run = TrainingRun(
        network=network,
        average=AveragedModel(network, multi_avg_fn=average),
        optimiser=_optimiser(network, recipe),
    )
    resume(run, recipe, directory, go_on_from)
    held_out = draw_pairs(
        pictures.validation, recipe.pairs, recipe.validation.pairs, _VALIDATION_SEED, device=where
    )
    weights = directory / "weights.safetensors"
    with shared(recipe.schedule.batch, where) as share:
        _loop(run, recipe, pictures, held_out, directory, share, where)
    return weights


def _loop(
    run: TrainingRun,
    recipe: Recipe,
    pictures: PictureSet,
    held_out: Pairs,
    directory: Path,
    share: Share,
    device: torch.device,
) -> None:
    objective = share.spread(_Objective(run.network, recipe.schedule), device)
    progress = tqdm(
        total=recipe.schedule.steps,
        initial=run.step,
        unit="step",
        desc=recipe.name,
        smoothing=0.05,
        disable=not share.first,
    )
    resumed_at, resumed_seconds = time.monotonic(), run.seconds
    shown: dict[str, float] = {}
    with progress:
        for pairs in _batches(recipe, pictures, run.step, device):
            shown["loss"] = _step(run, recipe, objective, share, pairs)
            run.seconds = resumed_seconds + time.monotonic() - resumed_at
            progress.update()
            last = run.step == recipe.schedule.steps
            if share.first and (last or run.step % recipe.validation.every_steps == 0):
                shown["ssim"] = _validate_and_save(run, recipe, held_out, directory, shown["loss"])
            if share.first and (last or run.step % recipe.validation.checkpoint_every_steps == 0):
                save_checkpoint(run, recipe, directory)
            if run.step % 20 == 0:
                progress.set_postfix({name: f"{value:.4f}" for name, value in shown.items()}, refresh=False)


def _new_network(recipe: Recipe, start_from: Path | None) -> Network:
    config = recipe.network_config()
    if start_from is None:
        return build_network(config)
    weights = load_weights(start_from)
    network = weights.network
    if isinstance(network, BaselineNetwork) and config == replace(network.config, gated=True):
        network = gated(network)
    if network.config != config:
        raise WeightsFault(
            f"{start_from}: weights of another network than the recipe's",
            remedy=f"start from weights of {describe(config)}",
        )
    return network.train()


def _optimiser(network: Network, recipe: Recipe) -> torch.optim.Optimizer:
    gates = [gate.value for gate in gates_of(network)]
    others = [value for value in network.parameters() if not any(value is gate for gate in gates)]
    groups: list[dict[str, Any]] = [{"params": others, "rate": 1.0}]
    if gates:
        groups.append({"params": gates, "rate": recipe.schedule.gate_rate, "weight_decay": 0.0})
    return torch.optim.AdamW(
        groups, lr=recipe.schedule.learning_rate, weight_decay=recipe.schedule.weight_decay
    )


def _batches(recipe: Recipe, pictures: PictureSet, first_step: int, device: torch.device) -> Iterator[Pairs]:
    """Batches from a step on, drawn one ahead in a second thread; a batch depends on recipe and step alone."""

    schedule = recipe.schedule

    def draw(number: int) -> Pairs:
        seed = recipe.seed * 1_000_003 + number
        difficulty = schedule.difficulty(max(0, number * schedule.pair_uses))
        return draw_pairs(pictures.training, recipe.pairs, schedule.batch, seed, difficulty, device)

    remembering = kept(draw, schedule.pair_uses)

    def batch(step: int) -> Pairs:
        return batch_of(step, schedule.pair_uses, remembering)

    with ThreadPoolExecutor(max_workers=1) as drawer:
        ahead = drawer.submit(batch, first_step)
        for step in range(first_step, recipe.schedule.steps):
            pairs = ahead.result()
            if step + 1 < recipe.schedule.steps:
                ahead = drawer.submit(batch, step + 1)
            yield pairs


class _Objective(nn.Module):
    """Training loss, and the picture error that is part of it."""

    def __init__(self, network: Network, schedule: TrainingSchedule) -> None:
        super().__init__()
        self.network, self.schedule = network, schedule

    def forward(self, pairs: Pairs) -> tuple[Tensor, Tensor]:
        """Loss and picture error: two scalars."""
        network, schedule = self.network, self.schedule
        if schedule.displacement_weight and isinstance(network, RealtimeNetwork):
            loss, error = self._with_displacement(network, pairs)
        else:
            magnified = network(pairs.frame, pairs.reference, pairs.amplification)
            loss = error = magnification_loss(magnified, pairs.magnified, schedule.loss_border_px)
        if schedule.consistency_weight:
            loss = loss + schedule.consistency_weight * consistency_loss(network, pairs)
        if schedule.gate_penalty:
            loss = loss + schedule.gate_penalty * sparsity(list(gates_of(network)))
        return loss, error

    def _with_displacement(self, network: RealtimeNetwork, pairs: Pairs) -> tuple[Tensor, Tensor]:
        schedule, border_px = self.schedule, self.schedule.loss_border_px
        decoded = network.decode_pair(pairs.frame, pairs.frame - pairs.reference, pairs.amplification)
        magnified, added_px = network.draw_with_displacement(pairs.frame, decoded)
        weight = edge_weight(pairs.added_px, schedule.edge_weight)
        error = magnification_loss(magnified, pairs.magnified, border_px, weight)
        if schedule.layer_weight and pairs.layers is not None and isinstance(decoded, FrameLayers):
            # Without the loss of the composite displacement: at edges it contradicts that of the layers.
            off_px, hidden = layer_losses(decoded, pairs.layers, border_px)
            return error + schedule.displacement_weight * off_px + schedule.layer_weight * hidden, error
        off_px = displacement_loss(added_px, pairs.added_px, border_px, weight)
        return error + schedule.displacement_weight * off_px, error


def _step(run: TrainingRun, recipe: Recipe, objective: nn.Module, share: Share, pairs: Pairs) -> float:
    schedule = recipe.schedule
    for group in run.optimiser.param_groups:
        group["lr"] = group.get("rate", 1.0) * schedule.learning_rate_at(run.step)
    loss, error = objective(share.part(pairs))
    run.optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), schedule.gradient_norm_max)
    run.optimiser.step()
    run.average.update_parameters(run.network)
    run.step += 1
    return float(share.mean(error.detach()))


def _validate_and_save(
    run: TrainingRun, recipe: Recipe, held_out: Pairs, directory: Path, loss: float
) -> float:
    figures = validate(run.average.module, held_out, directory / "validation.png")
    entry: dict[str, Any] = {
        "step": run.step,
        "seconds": round(run.seconds, 1),
        "loss": round(loss, 5),
        **figures,
    }
    gates = {gate.name: round(gate.value.item(), 4) for gate in gates_of(run.average.module)}
    if gates:
        entry["gates"] = gates
    with (directory / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
    save_weights(
        directory / "weights.safetensors",
        recipe.name,
        run.network,
        run.average.module.state_dict(),
        (recipe.pairs.amplification_min, recipe.pairs.amplification_max),
        {"recipe": recipe.model_dump(mode="json"), **entry},
    )
    save_carried(run, recipe, directory / "run.safetensors")
    return figures["ssim"]
