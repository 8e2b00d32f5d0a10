"""Layers measured over their own cells: a disc that turns before a still background, of waves, moved exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from waves import waves

from tremorscope.model.networks import own_cells
from tremorscope.model.networks.affine import turned_whole
from tremorscope.model.networks.flow import LeastSquaresFlow
from tremorscope.model.networks.own_cells import OwnCells
from tremorscope.model.networks.slopes import smooth_kernels

STRIDE = 4
RADIUS_PX, ANGLE = 44.0, 0.2 / 44.0
"""Moved by .2 px at its rim."""
_MIDDLE_PX = 63.5


def _turning() -> tuple[OwnCells, Tensor, Tensor]:
    """Equations of the scene, the disc's true share of each cell, and its true displacement in px: 2 x h x w."""
    y, x = (at - _MIDDLE_PX for at in torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij"))
    covered = torch.sigmoid((RADIUS_PX - torch.hypot(x, y)) / 0.4)  # (H, W)
    still = waves(shortest_px=6.0).flip(3)
    reference, frame = (
        covered * waves(shortest_px=6.0, turned=angle) + (1.0 - covered) * still for angle in (0.0, ANGLE)
    )
    true_px = F.avg_pool2d(ANGLE * torch.stack((-y, x)), STRIDE)
    return _own_cells(reference, frame), F.avg_pool2d(covered[None, None], STRIDE), true_px


def _own_cells(reference: Tensor, frame: Tensor) -> OwnCells:
    kernels = smooth_kernels(8)
    flow = LeastSquaresFlow((3, 5, 9), 8, STRIDE, slope_reach_px=6, third_order=True)
    motion = F.conv2d(F.pad(frame - reference, (2, 5, 2, 5)), kernels, stride=STRIDE)
    equations = flow.equations(0.5 * (frame + reference), motion, torch.ones(1, 1, 1, 1), kernels, frame)
    return OwnCells(flow, equations, (3, 5, 9), (14, 36))


def _off(found: Tensor, true_px: Tensor, where: Tensor) -> float:
    """RMS error over the displacement of the rim: 2 x h x w, 2 x h x w, bool h x w."""
    return float((found - true_px).square().sum(dim=0)[where].mean().sqrt()) / (ANGLE * RADIUS_PX)


def _both(share: Tensor) -> Tensor:
    return torch.cat((share, 1.0 - share), dim=1)


def test_what_is_far_from_a_layer_never_counts_again() -> None:
    """Weights by the mean of a smaller window did: the windows that vary were off by a fifth of the rim's motion."""
    own, share, true_px = _turning()
    disc = own.measured(_both(share))[0, 0]  # (W, 2, h, w)
    for window, most in ((-2, 0.06), (-1, 0.08)):
        assert _off(disc[window], true_px, share[0, 0] > 0.9) < most


def test_cells_that_a_displacement_does_not_explain_weigh_less() -> None:
    """With a share that is a cell too wide the second measurement is off by less than half of the first."""
    own, share, true_px = _turning()
    wide = F.max_pool2d(share, 3, 1, 1)
    told = own.told_apart(_both(wide))
    first, second = (own.measured(_both(wide), each)[0, 0, -1] for each in (None, told))
    inside = share[0, 0] > 0.9
    assert _off(second, true_px, inside) < 0.5 * _off(first, true_px, inside)


def test_cells_inside_a_part_say_how_it_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a share that is a cell too wide the displacement leaves less than half of what it leaves by all cells."""
    own, share, _ = _turning()
    wide, inside = F.max_pool2d(share, 3, 1, 1), share[0, 0] > 0.9
    left = own.told_apart(_both(wide)).left[0, 0, inside].mean()
    monkeypatch.setattr(own_cells, "_RIM", 1e6)
    assert left < 0.5 * own.told_apart(_both(wide)).left[0, 0, inside].mean()


def test_the_displacement_that_explains_a_cell_tells_whose_it_is() -> None:
    """From a guess of .7 on the disc and .3 around it, in four rounds, as sure as by its true share."""
    own, share, true_px = _turning()
    guess, told = 0.3 + 0.4 * share, None
    inside, outside = (share[0, 0] > 0.99) & (true_px.norm(dim=0) > 0.1), share[0, 0] < 0.01
    sure = []
    for _ in range(4):
        told = own.told_apart(_both(guess), told)
        evidence = told.evidence
        guess = (8.0 * evidence.sum(dim=1, keepdim=True)).sigmoid()
        sure.append(
            torch.stack(
                (evidence[0, :, inside].quantile(0.1, dim=1), -evidence[0, :, outside].quantile(0.9, dim=1))
            )
        )  # (2, 3), least inside and outside, over a cell and around it
    assert sure[0].max() < 0.3
    assert sure[-1].min() > 0.3
    best = own.told_apart(_both(share)).evidence
    assert evidence[0, :, inside].mean() > 0.9 * best[0, :, inside].mean()


def test_what_stands_still_beside_a_moving_part_does_no_harm_in_its_layer() -> None:
    """Told apart from the disc it is all the same, and the disc from it."""
    own, share, true_px = _turning()
    told = own.told_apart(_both(share))
    drawn = own.out_of_place(_both(share), told)
    inside, still = (
        (share[0, 0] > 0.99) & (true_px.norm(dim=0) > 0.1),
        F.max_pool2d(share, 5, 1, 2)[0, 0] < 0.01,
    )
    assert told.evidence[0][:, still].mean() < -0.5
    assert drawn[0][:, still].mean() > -0.1
    assert drawn[0][:, inside].mean() > 0.9 * told.evidence[0][:, inside].mean()


def test_a_large_window_counts_less_where_parts_of_a_layer_move_differently() -> None:
    """The disc and what stands still in one layer: three cells in from its rim; where all moves alike, nowhere."""
    own, share, true_px = _turning()
    every = _both(torch.ones_like(share))
    counts = own.unmixed(own.measured(every), every)[0, 0]  # (W, h, w)
    near = (F.max_pool2d(1.0 - share, 5, 1, 2)[0, 0] < 0.05) & (true_px.norm(dim=0) > 0.12)
    assert counts[-1][near].log().mean() < -2.0
    assert counts[:3, near].mean() > 0.95
    whole = _own_cells(*(waves((moved_px, 0.0), shortest_px=6.0) for moved_px in (0.0, 0.05)))
    assert whole.unmixed(whole.measured(every), every)[0, 0].min() > 0.9


def test_two_displacements_that_are_alike_tell_nothing() -> None:
    """A picture that moves as a whole under noise of eight grey levels: no cell is sure."""
    rng = torch.Generator().manual_seed(0)
    pictures = [waves((moved_px, 0.0), shortest_px=6.0) for moved_px in (0.0, 0.05)]
    own = _own_cells(*(each + 8 / 255 * torch.randn(each.shape, generator=rng) for each in pictures))
    guess, told = 0.3 + 0.4 * torch.rand(1, 1, 32, 32, generator=rng), None
    for _ in range(3):
        told = own.told_apart(_both(guess), told)
    assert told is not None
    assert told.evidence.abs().mean() < 0.05


@pytest.mark.parametrize("angle", [0.2, -0.3])
def test_a_part_that_turns_keeps_its_size(angle: float) -> None:
    """Magnified along its tangents it grows by 2 to 5 %; after the correction by less than a tenth of that."""
    y, x = torch.meshgrid(torch.arange(24.0) - 9.0, torch.arange(32.0) - 20.0, indexing="ij")
    turned = turned_whole(angle * torch.stack((-y, x))[None])[0]
    cos, sin = math.cos(angle) - 1.0, math.sin(angle)
    true = torch.stack((cos * x - sin * y, sin * x + cos * y))
    along = angle * torch.stack((-y, x))
    assert (turned - true).norm(dim=0).mean() < 0.15 * (along - true).norm(dim=0).mean()


@pytest.mark.parametrize(
    "gradient", [((0.0, 0.0), (0.0, 0.0)), ((0.2, 0.0), (0.0, 0.2)), ((0.0, 0.2), (0.0, 0.0))]
)
def test_a_part_that_moves_grows_or_shears_is_left_as_it_is(gradient: tuple[tuple[float, ...], ...]) -> None:
    y, x = torch.meshgrid(torch.arange(24.0) - 9.0, torch.arange(32.0) - 20.0, indexing="ij")
    moved = torch.einsum("ij,jpq->ipq", torch.tensor(gradient), torch.stack((x, y)))[None] + 1.5
    torch.testing.assert_close(turned_whole(moved), moved, atol=2e-3, rtol=0)
