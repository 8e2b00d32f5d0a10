"""A mask that follows colours (He, Sun and Tang, "Guided image filtering", ECCV 2010), and what is beside it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.windows import average, weighted_averages

_NOISE_VARIANCE = (3 / 255) ** 2
"""Colours that differ by less tell nothing apart."""
_LEAST_SURE = 0.01
"""Weight of a cell that is not sure at all, so that a window of such cells has a mean."""
_GUESS = 0.05
"""Weight of the guess, against 1 of a cell that is all uncovered."""


def follow_colours(
    mask: Tensor, sure: Tensor, colours: Tensor, windows: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """The linear function of the colours that fits the sure cells of a coarse mask best, in a window around each cell.

    A cell's colour is a mean over what the mask covers of it and what not. So a function that fits cells fits pixels,
    and a mask that knows each cell roughly gets the picture's edges. Cells that are not sure, as those without texture,
    take what the sure ones around have: by colour where colours tell, by their mean where not.

    Args:
        mask: B x 1 x h x w.
        sure: weight of each cell, from 0 to 1, B x 1 x h x w.
        colours: mean of each cell, B x 3 x h x w.
        windows: odd sides of cascaded averaging windows in cells.

    Returns:
        Slope B x 3 x h x w and level B x 1 x h x w: the mask is slope times colour, summed, plus level.
    """
    weight = sure + _LEAST_SURE  # (B, 1, h, w)
    each = torch.cat((colours, mask, colours * mask, _products(colours)), dim=1)  # (B, 13, h, w)
    (*_, means) = weighted_averages(weight * each, weight, windows)
    colour, covered, together, squares = torch.split(means, [3, 1, 3, 6], dim=1)
    rr, rg, rb, gg, gb, bb = (squares - _products(colour)).unbind(1)  # B x h x w each
    rr, gg, bb = rr + _NOISE_VARIANCE, gg + _NOISE_VARIANCE, bb + _NOISE_VARIANCE
    x, y, z = (together - colour * covered).unbind(1)
    # The inverse of a symmetric matrix of three rows, by its cofactors.
    rr_, rg_, rb_ = gg * bb - gb * gb, rb * gb - rg * bb, rg * gb - rb * gg
    gg_, gb_, bb_ = rr * bb - rb * rb, rg * rb - rr * gb, rr * gg - rg * rg
    determinant = rr * rr_ + rg * rg_ + rb * rb_
    slope = torch.stack(
        (rr_ * x + rg_ * y + rb_ * z, rg_ * x + gg_ * y + gb_ * z, rb_ * x + gb_ * y + bb_ * z), dim=1
    ) / determinant.unsqueeze(1)
    return slope, covered - (slope * colour).sum(dim=1, keepdim=True)


def _products(colours: Tensor) -> Tensor:
    """Products of each two of three channels: B x 3 x h x w -> B x 6 x h x w."""
    r, g, b = colours.unbind(1)  # B x h x w each
    return torch.stack((r * r, r * g, r * b, g * g, g * b, b * b), dim=1)


def beside(picture: Tensor, mask: Tensor, guess: Tensor) -> Tensor:
    """Mean colour of what a mask leaves uncovered, within two cells; where that is nothing, the guess.

    Args:
        picture: B x 3 x H x W.
        mask: B x 1 x H x W.
        guess: B x 3 x h x w, of cells.

    Returns:
        B x 3 x h x w.
    """
    uncovered = 1.0 - mask
    cells = F.avg_pool2d(
        torch.cat((uncovered * picture, uncovered), dim=1), picture.shape[3] // guess.shape[3]
    )
    for _ in range(2):
        cells = average(cells, 3)
    return (cells[:, :3] + _GUESS * guess) / (cells[:, 3:] + _GUESS)
