"""Ablation of errors at thin parts: parts of a network's output replaced by the truth, and least squares alone.

python -m tremorscope.export.studies.structure_causes WEIGHTS --photographs FOLDER --most 3

WEIGHTS are of a network that warps its frame once: the causes are why those that are shipped have two layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.evaluation.evaluate import Conditions
from tremorscope.model.evaluation.scenes import Frame, read_evaluation_photographs
from tremorscope.model.evaluation.straightness import NOISE_GREY_LEVELS, centre_line_px, film, ssim_over
from tremorscope.model.evaluation.structures import Cables, CentreLine, Lattice, StructureScene, structures
from tremorscope.model.networks.flow import LeastSquaresFlow, warp
from tremorscope.model.networks.own_cells import OwnCells
from tremorscope.model.networks.realtime import RealtimeNetwork, Warped
from tremorscope.model.networks.weights import load_weights

KINDS = ("cable 2.4 px", "lattice 5 px")
CASES_PX = ((0.2, 4.0), (0.2, 10.0), (1.0, 10.0))
WINDOWS, MOVING = (1, 3, 5, 9, 17), (3, 5, 9)
OWN, AFFINE = (3, 5, 9, 17), (14, 34)
_LANDS_PX = 10.0
_MOVED_PX = (0.05, 0.2, 1.0)


def as_tensor(pixels: np.ndarray) -> Tensor:
    """H x W x 3 grey levels -> 1 x 3 x H x W in [0, 1]."""
    return torch.from_numpy(pixels / 255.0).float().permute(2, 0, 1)[None]


def as_frame(picture: Tensor) -> Frame:
    """The inverse of `as_tensor`, rounded."""
    pixels: Frame = (255.0 * picture[0].permute(1, 2, 0)).round().clamp(0, 255).byte().numpy()
    return pixels


def direction(scene: StructureScene) -> Tensor:
    """Displacement field of the part for a displacement of 1 px: 1 x 2 x H x W."""
    if isinstance(scene, Lattice):
        along = torch.tensor([np.cos(scene.angle), np.sin(scene.angle)]).reshape(1, 2, 1, 1)
        return along.float().expand(1, 2, *scene.background.shape[:2])
    mode = torch.sin(torch.arange(256) * np.pi / 255).expand(1, 1, 256, 256)
    return torch.cat((torch.zeros_like(mode), mode), dim=1)


_Y, _X = torch.meshgrid(*2 * [(torch.arange(256) - 127.5) / 60], indexing="ij")
VARYING = {
    "growing disc": torch.stack((_X, _Y))[None],
    "shearing plate": torch.stack((-_Y, torch.zeros_like(_Y)))[None],
}
"""Large parts whose displacement varies, and its field for 1 px."""


def answers(
    network: RealtimeNetwork, scene: StructureScene, conditions: Conditions, rng: np.random.Generator
) -> tuple[dict[str, Tensor], Frame]:
    """Magnified frames by name, made of the network's output with more and more of the truth in it; the truth."""
    reference, frame, truth = film(scene, conditions, rng)
    moved, still = as_tensor(frame), as_tensor(reference)
    amplification = torch.tensor([conditions.amplification])
    decoded = network.decode_pair(moved, moved - still, amplification)
    added_px = (conditions.target_px - conditions.displacement_px) * direction(scene)
    covered = torch.from_numpy(scene.coverage(conditions.target_px)).float()[None, None]
    behind = as_tensor(scene.background)
    assert isinstance(decoded, Warped)
    own_px, change = decoded
    return {
        "the network": network.draw(moved, decoded),
        "its displacement alone": warp(moved, own_px),
        "the true displacement, pixel by pixel, and its change": warp(moved, added_px * (covered > 0.5))
        + change,
        "its displacement, true mask and background": covered * warp(moved, own_px) + (1 - covered) * behind,
        "smooth true displacement, true mask and background": covered * warp(moved, added_px)
        + (1 - covered) * behind,
    }, truth


def least_squares_error(
    network: RealtimeNetwork,
    _kind: str,
    scene: StructureScene,
    displacement_px: float,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Relative error of each window's displacement, on the part and at the place where it is drawn."""
    reference, frame, _ = film(scene, Conditions(displacement_px, _LANDS_PX, NOISE_GREY_LEVELS), rng)
    moved, still = as_tensor(frame), as_tensor(reference)
    flow = LeastSquaresFlow(WINDOWS, 8, 4, MOVING)
    kernels = network.shape_encoder.weight
    motion, gain = network.motion(moved - still), torch.ones(1, 1, 1, 1)
    found, _ = flow.solve(flow.equations((moved + still) / 2, motion, gain, kernels))  # (1, W, 2, h, w)
    x, y = (4 * found[0]).numpy().swapaxes(0, 1)

    def error(line: CentreLine) -> np.ndarray:
        at = tuple(np.clip((side / 4).astype(int), 0, 63) for side in (line.y_px, line.x_px))
        mode = np.sin(np.pi * line.x_px / 255) * line.normal_y if isinstance(scene, Cables) else 1.0
        across = x[:, at[0], at[1]] * line.normal_x + y[:, at[0], at[1]] * line.normal_y
        off: np.ndarray = np.abs(across / displacement_px - mode).mean(axis=1)
        return off

    on, lands = (
        np.mean([error(line) for line in scene.lines(d)], axis=0) for d in (displacement_px, _LANDS_PX)
    )
    return on, lands


def large_part_error(
    network: RealtimeNetwork,
    kind: str,
    scene: StructureScene,
    displacement_px: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """Mean error in px inside a large part shown at 10 px, by least squares over the part's true cells.

    Windows as `OWN` cascades them, one displacement each, then those of `AFFINE`, with a displacement that varies.
    """
    reference, frame, _ = film(scene, Conditions(displacement_px, _LANDS_PX, NOISE_GREY_LEVELS), rng)
    moved, still = as_tensor(frame), as_tensor(reference)
    flow = LeastSquaresFlow(WINDOWS, 8, 4, slope_reach_px=6, third_order=True)
    gain = torch.full((1, 1, 1, 1), _LANDS_PX / displacement_px - 1.0)
    kernels = network.shape_encoder.weight
    motion = network.motion(moved - still)  # (1, C, 64, 64), as all that follow
    equations = flow.equations((moved + still) / 2, motion, gain, kernels, moved)
    share = F.avg_pool2d(torch.from_numpy(scene.coverage(displacement_px)).float()[None, None], 4)
    own = OwnCells(flow, equations, OWN, AFFINE)
    found = 4 * own.in_cells(own.measured(share)[:, 0])[0]  # (W, 2, 64, 64)
    true = F.avg_pool2d((_LANDS_PX - displacement_px) * VARYING[kind], 4)
    inside = share[0, 0] > 0.99
    error: np.ndarray = (found - true).norm(dim=1)[:, inside].mean(dim=1).numpy()
    return error


Scenes = dict[str, list[StructureScene]]


def _print_answers(network: RealtimeNetwork, kinds: Scenes) -> None:
    for kind, scenes in kinds.items():
        for displacement_px, target_px in CASES_PX:
            conditions = Conditions(displacement_px, target_px, NOISE_GREY_LEVELS)
            rng = np.random.default_rng(0)
            scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
            for scene in scenes:
                found, truth = answers(network, scene, conditions, rng)
                touched = scene.coverage(displacement_px) + scene.coverage(target_px) > 0.02
                for name, magnified in found.items():
                    result = as_frame(magnified)
                    off_px = centre_line_px(result, scene, target_px)
                    scores[name].append((ssim_over(result, truth, touched), off_px))
            click.echo(f"\n{kind}, {displacement_px:g} -> {target_px:g} px: SSIM / centre line off by px")
            for name, each in scores.items():
                similarity, off = np.array(each).T
                click.echo(f"    {name:<56}{similarity.mean():.3f} / {np.sqrt((off**2).mean()):.2f}")


def _print_errors(kinds: Scenes, error: Callable[..., Any], places: Sequence[str]) -> None:
    """A line for each kind, displacement and place: the mean over the scenes, by window."""
    for kind, scenes in kinds.items():
        for displacement_px in _MOVED_PX:
            rng = np.random.default_rng(0)
            means = np.mean([error(kind, each, displacement_px, rng) for each in scenes], axis=0)
            for place, row in zip(places, np.atleast_2d(means), strict=True):
                click.echo(f"{kind}, {displacement_px:g} px{place}" + "".join(f"{e:7.2f}" for e in row))


@click.command()
@click.argument("weights", type=click.Path(path_type=Path))
@click.option("--photographs", type=click.Path(path_type=Path), required=True)
@click.option("--most", type=click.IntRange(min=1))
@torch.no_grad()
def main(weights: Path, photographs: Path, most: int | None) -> None:
    """Print the tables of a network that warps its frame once, as configs/studies/recipes/one-warp.yaml trains it."""
    network = load_weights(weights).network
    if not isinstance(network, RealtimeNetwork) or network.config.skip != "warped":
        raise click.UsageError(f"{weights}: not of a network with skip: warped: name weights that have it")
    scenes = structures(read_evaluation_photographs(photographs, most))
    thin = {kind: scenes[kind] for kind in KINDS}
    _print_answers(network, thin)
    click.echo(
        f"\nerror of the least-squares displacement; windows of {WINDOWS} cells, weighted by motion {MOVING}"
    )
    places = (f", {'on it':<9}", f", {f'{_LANDS_PX:g} px on':<9}")
    _print_errors(thin, partial(least_squares_error, network), places)
    click.echo(
        f"\nerror inside large parts in px; windows of {OWN} cells over their own, and varying {AFFINE}"
    )
    large = {kind: scenes[kind] for kind in VARYING}
    _print_errors(large, partial(large_part_error, network), ("",))


if __name__ == "__main__":
    main()
