"""Thin parts in training pairs, and a pair's truth as two layers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tremorscope.model.networks.layered import FrameLayers, draw_layers
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.pairs.lattices import Lattices
from tremorscope.model.pairs.layer_truth import overlay
from tremorscope.model.pairs.pairs import draw_pairs
from tremorscope.model.pairs.settings import PairSettings
from tremorscope.model.training.losses import edge_weight, layer_losses

SETTINGS = PairSettings(
    patch_px=64, foreground_layers=1, magnified_motion_max_px=12, amplification_max=50, still_background_share=1.0,
    still_layer_share=0.0, noiseless_share=1.0, flicker_share=0.0, blurred_share=1.0, structure_share=0.6,
    two_layers=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return [torch.from_numpy(draw_picture(seed, 256)).permute(2, 0, 1) for seed in range(4)]


def test_a_lattice_moves_as_it_is_told() -> None:
    """What comes to lie at x lay at x less the shift, at hundredths of a pixel and at ten."""
    lattices = Lattices.draw(torch.Generator().manual_seed(1), SETTINGS, batch=64, layers=2)
    axis = torch.arange(64) - 31.5
    still = lattices.coverage(axis.expand(64, 2, 64, 64), axis[:, None].expand(64, 2, 64, 64))
    assert still.min() >= 0.0
    assert still.max() <= 1.0
    assert 0.02 < still[lattices.chosen].mean() < 0.6
    moved = lattices.coverage(axis - 10.0, (axis[:, None] - 3.0))
    assert torch.allclose(moved[..., 3:, 10:], still[..., :-3, :-10], atol=1e-4)


def test_what_bends_bends_across_its_motion_only() -> None:
    """So what lies at x lay exactly at x - mode(x) shift; and what does not bend moves as a whole."""
    lattices = Lattices.draw(torch.Generator().manual_seed(1), SETTINGS, batch=64, layers=2)
    axis = torch.arange(64) - 31.5
    shift = torch.tensor([0.0, 5.0]).expand(64, 2, 2)
    mode = lattices.mode(shift, (axis, axis[:, None]))
    assert 0 < lattices.bent.sum() < lattices.chosen.sum()
    assert torch.equal(mode[~lattices.bent], torch.ones_like(mode[~lattices.bent]))
    bent = mode[lattices.bent]
    assert torch.allclose(bent, bent[..., :1, :], atol=1e-5)  # the same along y, in which it moves
    assert bent.std(dim=-1).max() > 0.1
    assert torch.allclose(mode, lattices.mode(0.01 * shift, (axis, axis[:, None])))


def test_drawn_from_its_truth_a_pair_is_what_it_should_become(pictures: list[Tensor]) -> None:
    """Two layers, each moved as the truth says: a fifth of the difference that magnification makes, at soft edges."""
    pairs = draw_pairs(pictures, SETTINGS, batch=48, seed=3)
    truth = pairs.layers
    assert truth is not None
    decoded = FrameLayers(truth.upper_px, truth.lower_px, truth.mask, truth.filled)
    drawn, _ = draw_layers(pairs.frame, decoded)
    inner = (..., slice(12, -12), slice(12, -12))
    off, change = ((each - pairs.magnified)[inner].abs().mean(dim=(1, 2, 3)) for each in (drawn, pairs.frame))
    assert off.mean() < 0.2 * change.mean()
    apart_px, hidden = layer_losses(decoded, truth, border_px=8)
    assert float(apart_px) == 0.0
    worse = decoded._replace(mask=torch.full_like(truth.mask, 0.5))
    assert float(layer_losses(worse, truth, border_px=8)[1]) > float(hidden)


def test_a_layer_that_is_as_still_as_its_background_belongs_to_it(pictures: list[Tensor]) -> None:
    still = SETTINGS.model_copy(update={"still_layer_share": 1.0})
    truth = draw_pairs(pictures, still, batch=8, seed=3).layers
    assert truth is not None
    for part in (truth.mask, truth.filled, truth.upper_px, truth.lower_px):
        assert not part.any()
    assert (truth.upper_counts < 1).all()


def test_layers_lie_one_over_the_other() -> None:
    layers = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 1, 1, 4)
    coverage = torch.tensor([[0.0, 1.0, 1.0, 0.5], [0.0, 0.0, 1.0, 0.5]]).reshape(1, 2, 1, 1, 4)
    assert overlay(layers, coverage).flatten().tolist() == [1.0, 2.0, 3.0, 2.25]


def test_errors_count_more_where_the_displacement_jumps() -> None:
    added = torch.zeros(1, 2, 40, 40)
    added[:, 0, :, 20:] = 3.0
    weight = edge_weight(added, more=2.0)
    assert weight is not None
    assert (weight[0, 0, :, :13] == 1.0).all()
    assert (weight[0, 0, :, 14:26] == 3.0).all()
    assert (weight[0, 0, :, 27:] == 1.0).all()
    assert edge_weight(added, more=0.0) is None
