"""Least-squares displacement that may vary linearly over its window, as where a part turns, bends, shears or grows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

_RIDGE = 3e-3
"""Regularisation of the gradient, of the slopes' energy in the window."""
# Powers of (x, y) from the window's middle, times either component: the unknowns, those of the gradient first.
_UNKNOWNS = (("x", 1, 0), ("x", 0, 1), ("y", 1, 0), ("y", 0, 1), ("x", 0, 0), ("y", 0, 0))
_GRADIENT = 4
_PRODUCTS = ("xx", "xy", "yy", "xm", "ym")


def in_the_middle(products: Tensor, window_cells: int) -> Tensor:
    """Normal equations of the displacement in the middle of each window, over which it may vary linearly.

    With the gradient of the displacement as four more unknowns, which are eliminated (Schur's complement), what is left
    are equations of the same form as those of one displacement for the whole window.

    Args:
        products: xx, xy, yy, xm and ym of slopes (x, y) and motion (m), B x 5 x h x w.
        window_cells: odd length of the window, whose weights fall off as a raised cosine.

    Returns:
        The same five, B x 5 x h x w.
    """
    batch, _, height, width = products.shape
    moments = _moments(products, window_cells)  # (B, 45, h, w)
    places = torch.tensor(_PLACES, device=products.device)
    rows = moments.index_select(1, places).reshape(batch, 6, 7, height, width)
    energy = moments[:, :1] + moments[:, 18:19]  # (B, 1, h, w), of xx and yy
    ridge = torch.diag(torch.tensor([_RIDGE] * _GRADIENT + [0.0, 0.0])).to(products)  # (6, 6)
    rows = rows + F.pad(ridge, (0, 1))[:, :, None, None] * energy.unsqueeze(2)
    for _ in range(_GRADIENT):
        first = rows[:, :1, 1:] / rows[:, :1, :1].clamp(min=_LEAST_PIVOT)
        rows = rows[:, 1:, 1:] - rows[:, 1:, :1] * first
    # Left: xx, xy, xm; xy, yy, ym.
    return torch.stack((rows[:, 0, 0], rows[:, 0, 1], rows[:, 1, 1], rows[:, 0, 2], rows[:, 1, 2]), dim=1)


_LEAST_PIVOT = 1e-20


def raised_cosine(length: int) -> Tensor:
    """Weights that fall off to both ends and add up to 1: (length,)."""
    weights = 1.0 + torch.cos((torch.arange(length) - length // 2) * (2 * torch.pi / (length + 1)))
    return weights / weights.sum()


def _moments(products: Tensor, length: int) -> Tensor:
    """Window sums times powers 0 to 2 of x and of y: B x 5 x h x w -> B x 45 x h x w, y's power changing fastest."""
    weights = raised_cosine(length).to(products)
    at = (torch.arange(length).to(products) - length // 2) / (length / 4)
    kernels = torch.stack([weights * at**power for power in range(3)])  # (3, n)
    along_x = F.conv2d(
        products, kernels[:, None, None].repeat(5, 1, 1, 1), padding=(0, length // 2), groups=5
    )  # (B, 15, h, w)
    return F.conv2d(
        along_x, kernels[:, None, :, None].repeat(15, 1, 1, 1), padding=(length // 2, 0), groups=15
    )  # (B, 45, h, w)


def _place(one: tuple[str, int, int], other: tuple[str, int, int]) -> int:
    """Number of the moment at a row and a column of the equations."""
    product = _PRODUCTS.index("".join(sorted((one[0], other[0]), key="xym".index)))
    return 9 * product + 3 * (one[1] + other[1]) + one[2] + other[2]


_PLACES = [_place(one, other) for one in _UNKNOWNS for other in (*_UNKNOWNS, ("m", 0, 0))]
