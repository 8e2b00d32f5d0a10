"""Displacements that vary linearly over their window, as where a part turns or shears."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tremorscope.model.networks.affine import in_the_middle

ROWS, COLUMNS = 30, 40


def solved(products: Tensor) -> Tensor:
    """Displacement by the equations of each cell: 2 x h x w."""
    xx, xy, yy, xm, ym = products[0].double()
    return torch.stack((xy * ym - yy * xm, xy * xm - xx * ym)) / (xx * yy - xy * xy)


@pytest.mark.parametrize("window", [5, 13, 25])
@pytest.mark.parametrize("seed", range(3))
def test_a_linear_displacement_is_found_in_every_cell_up_to_the_border(window: int, seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    along_x, along_y = slopes = torch.randn(2, 4, ROWS, COLUMNS, generator=rng)
    y, x = torch.meshgrid(torch.arange(ROWS) - ROWS / 2, torch.arange(COLUMNS) - COLUMNS / 2, indexing="ij")
    gradient = 0.2 * (torch.rand(2, 2, generator=rng) - 0.5)  # up to 2 px from the middle to a side
    moved = 4.0 * (torch.rand(2, generator=rng) - 0.5)[:, None, None]
    true = moved + gradient[:, :1, None] * x + gradient[:, 1:, None] * y
    motion = -(true[:, None] * slopes).sum(dim=0)
    pairs = [along_x * along_x, along_x * along_y, along_y * along_y, along_x * motion, along_y * motion]
    weight = 0.5 + torch.rand(ROWS, COLUMNS, generator=rng)
    products = torch.stack([*(weight * each.sum(dim=0) for each in pairs), weight])[None]
    off = (solved(in_the_middle(products, window)) - true).abs()
    assert off.max() < 0.03  # in the corners
    assert off[:, 13:-13, 13:-13].max() < 0.002


def test_without_texture_there_is_no_displacement_and_nothing_is_divided_by_zero() -> None:
    found = in_the_middle(torch.zeros(1, 6, ROWS, COLUMNS), 13)
    assert torch.equal(found, torch.zeros_like(found))
