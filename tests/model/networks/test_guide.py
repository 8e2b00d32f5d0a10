"""A mask that follows colours, and what is beside it."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from tremorscope.model.networks.guide import beside, follow_colours


def test_a_mask_known_roughly_gets_the_pictures_edges() -> None:
    """Bars of 3 px, half of them known from cells alone: every pixel of the bars is told from the background."""
    bars = (torch.arange(96) % 14 < 3).float().expand(1, 1, 96, 96)
    dark, light = torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.6, 0.3, 0.2])
    picture = dark[None, :, None, None] * (1 - bars) + light[None, :, None, None] * bars - 0.5
    coarse = F.avg_pool2d(bars, 4)
    slope, level = (
        F.interpolate(each, scale_factor=4.0) for each in follow_colours(coarse, F.avg_pool2d(picture, 4))
    )
    found = (slope * picture).sum(dim=1, keepdim=True) + level
    torch.testing.assert_close(found, bars, atol=0.05, rtol=0)


def test_without_colours_to_tell_apart_the_coarse_mask_holds() -> None:
    mask = torch.rand(1, 1, 24, 24)
    slope, level = follow_colours(mask, torch.full((1, 3, 24, 24), 0.2))
    torch.testing.assert_close(slope, torch.zeros_like(slope), atol=1e-3, rtol=0)
    torch.testing.assert_close(level, mask, atol=2e-3, rtol=0)


def test_a_large_part_of_the_backgrounds_colours_keeps_its_mask() -> None:
    """Where its edge lies in the window, too: no patches of half a mask."""
    colours = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0)) - 0.5
    mask = (torch.arange(24) > 11).float().expand(1, 1, 24, 24)
    slope, level = follow_colours(mask, colours)
    found = (slope * colours).sum(dim=1, keepdim=True) + level
    assert (found - mask).abs().max() < 0.2
    assert (found - mask).abs().mean() < 0.02


def test_of_a_grey_picture_whose_three_colours_are_one_the_mask_follows_grey() -> None:
    mask = torch.rand(1, 1, 24, 24)
    grey = (mask - 0.5).expand(1, 3, 24, 24)
    slope, level = follow_colours(mask, grey)
    torch.testing.assert_close((slope * grey).sum(dim=1, keepdim=True) + level, mask, atol=0.05, rtol=0)


def test_what_lies_beside_a_bar_is_the_background_and_inside_a_wide_part_it_is_the_guess() -> None:
    mask = torch.zeros(1, 1, 96, 96)
    mask[..., 20:26] = 1.0
    mask[..., 56:] = 1.0
    picture = torch.where(mask > 0, 0.4, -0.3).expand(1, 3, 96, 96)
    found = beside(picture, mask, torch.full((1, 3, 24, 24), 0.1))
    torch.testing.assert_close(found[..., 5], torch.full((1, 3, 24), -0.3), atol=0.1, rtol=0)
    torch.testing.assert_close(found[..., 20], torch.full((1, 3, 24), 0.1))
