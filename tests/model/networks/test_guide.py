"""A mask that follows colours, and what is beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.guide import beside, follow_colours


def follow(mask: Tensor, sure: Tensor, picture: Tensor) -> Tensor:
    """The mask of each pixel of a picture of as many pixels, or of four a cell."""
    side = picture.shape[3] // mask.shape[3]
    slope, level = (
        F.interpolate(each, scale_factor=float(side))
        for each in follow_colours(mask, sure, F.avg_pool2d(picture, side), (5, 7))
    )
    return (slope * picture).sum(dim=1, keepdim=True) + level


def bars(width_px: int, pitch_px: int) -> tuple[Tensor, Tensor]:
    """Dark bars before a light background: where they are, B x 1 x 96 x 96, and the picture, less 0.5."""
    where = (torch.arange(96) % pitch_px < width_px).float().expand(1, 1, 96, 96)
    dark, light = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.6, 0.3, 0.2])
    return where, dark[None, :, None, None] * where + light[None, :, None, None] * (1 - where) - 0.5


def test_a_mask_known_roughly_gets_the_pictures_edges() -> None:
    """Bars of 3 px, known from cells alone: every pixel of the bars is told from the background."""
    where, picture = bars(3, 14)
    coarse = F.avg_pool2d(where, 4)
    torch.testing.assert_close(follow(coarse, torch.ones_like(coarse), picture), where, atol=0.05, rtol=0)


def test_a_bar_is_told_from_those_of_its_colour_beside_it() -> None:
    """Bars 16 px apart, of which the mask has one: more than half of it is kept; by nine cells alike a third."""
    where, picture = bars(3, 16)
    one = torch.zeros_like(where)
    one[..., 48:51] = 1.0
    coarse = F.avg_pool2d(one, 4)
    found = follow(coarse, torch.ones_like(coarse), picture)[0, 0, 48]
    assert found[48:51].min() > 0.5
    assert found[48:51].min() > 2.0 * found[64:67].max()


def test_cells_that_are_not_sure_take_what_those_of_their_colour_have() -> None:
    """Two in three cells know nothing, and say a half."""
    where, picture = bars(12, 24)
    known = (torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0)) < 0.33).float()
    coarse = known * F.avg_pool2d(where, 4) + (1 - known) * 0.5
    torch.testing.assert_close(follow(coarse, known, picture), where, atol=0.08, rtol=0)


def test_without_colours_to_tell_apart_the_mask_is_the_mean_of_the_sure_cells() -> None:
    """Also of a grey picture, whose three colours are one."""
    mask, sure = torch.rand(2, 1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    slope, level = follow_colours(mask, sure, torch.full((1, 3, 24, 24), 0.2), (5, 7))
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-3, rtol=0)
    around = (..., slice(7, 18), slice(7, 18))  # cells nearer than six, by how many of both windows hold them
    side = torch.tensor([1, 2, 3, 4, 5, 5, 5, 4, 3, 2, 1.0])
    weight = (side * side[:, None] * (sure + 0.01)[around]).flatten()
    expected = (mask[around].flatten() * weight).sum() / weight.sum()
    torch.testing.assert_close(level[0, 0, 12, 12], expected, atol=1e-3, rtol=0)
    grey = (mask - 0.5).expand(1, 3, 24, 24)
    torch.testing.assert_close(follow(mask, sure, grey), mask, atol=0.05, rtol=0)


def test_what_lies_beside_a_bar_is_the_background_and_inside_a_wide_part_it_is_the_guess() -> None:
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 20:26] = 1.0
    mask[..., 56:] = 1.0
    picture = torch.where(mask > 0, 0.4, -0.3).expand(1, 3, 96, 96)
    found = beside(picture, mask, torch.full((1, 3, 24, 24), 0.1))
    torch.testing.assert_close(found[..., 5], torch.full((1, 3, 24), -0.3), atol=0.1, rtol=0)
    torch.testing.assert_close(found[..., 20], torch.full((1, 3, 24), 0.1))
