"""Means over windows of cells."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_LEAST_WEIGHT = 1e-12
"""In px squared: (1e-6 px)^2, below any motion that can be measured."""


def averages(products: Tensor, windows: tuple[int, ...]) -> list[Tensor]:
    """Cascaded window averages: B x N x h x w -> one of the same shape a window."""
    averaged = []
    for window in windows:
        products = average(products, window)  # (B, N, h, w)
        averaged.append(products)
    return averaged


def weighted_averages(weighted: Tensor, weight: Tensor, windows: tuple[int, ...]) -> list[Tensor]:
    """As `averages`, of products times a weight B x 1 x h x w, by the window's mean weight.

    Not by that of a smaller window around each cell: far from all that has weight, that would make cells count again.
    """
    both = averages(torch.cat((weighted, weight), dim=1), windows)
    return [each[:, :-1] / each[:, -1:].clamp(min=_LEAST_WEIGHT) for each in both]


def average(cells: Tensor, window: int) -> Tensor:
    """Mean in a window of an odd side around each cell, of the cells that there are: B x N x h x w."""
    # Along one axis, then the other: PyTorch sums the whole window for each cell, 625 terms where 50 do.
    for down, across in ((window, 1), (1, window)) if window > 1 else ():
        around = down // 2, across // 2
        cells = F.avg_pool2d(cells, (down, across), 1, around, count_include_pad=False)
    return cells
