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
_POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Powers of x and y that two unknowns make together."""


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
    moments = torch.split(
        _moments(products, window_cells), [1] * 32, dim=1
    )  # (B, 1, h, w), as all that follow
    # The upper triangle alone, entry by entry: slices of one tensor would be copies.
    rows = [[moments[place] for place in row] for row in _PLACES]
    ridge = _RIDGE * (moments[_ENERGY[0]] + moments[_ENERGY[1]])
    for each in range(_GRADIENT):
        rows[each][each] = rows[each][each] + ridge
    for pivot, first in enumerate(rows[:_GRADIENT]):
        inverse = 1.0 / first[pivot].clamp(min=_LEAST_PIVOT)
        for row in range(pivot + 1, len(rows)):
            factor = first[row] * inverse
            for column in range(row, len(first)):
                rows[row][column] = rows[row][column] - factor * first[column]
    # Left: xx, xy, xm; xy, yy, ym.
    return torch.cat((rows[4][4], rows[4][5], rows[5][5], rows[4][6], rows[5][6]), dim=1)


_LEAST_PIVOT = 1e-20


def raised_cosine(length: int) -> Tensor:
    """Weights that fall off to both ends and add up to 1: (length,)."""
    weights = 1.0 + torch.cos((torch.arange(length) - length // 2) * (2 * torch.pi / (length + 1)))
    return weights / weights.sum()


def _moments(products: Tensor, length: int) -> Tensor:
    """Window sums times powers of x and y up to 2 in all: B x 5 x h x w -> B x 32 x h x w, the last two unused.

    Along y each moment is a channel of its own, in whole blocks of 16, for which CPUs have kernels.
    """
    weights = raised_cosine(length).to(products)
    at = (torch.arange(length).to(products) - length // 2) / (length / 4)
    powers = torch.stack([weights * at**power for power in range(3)])  # (3, n)
    along_x = F.conv2d(
        products, powers[:, None, None].repeat(5, 1, 1, 1), padding=(0, length // 2), groups=5
    )  # (B, 15, h, w)
    each = [(3 * product + x, y) for product in range(len(_PRODUCTS)) for x, y in _POWERS] + [(0, 0)] * 2
    sources, of_y = torch.tensor(each, device=products.device).unbind(1)  # (32,) each
    return F.conv2d(
        along_x.index_select(1, sources), powers[of_y, None, :, None], padding=(length // 2, 0), groups=32
    )  # (B, 32, h, w)


def _place(one: tuple[str, int, int], other: tuple[str, int, int]) -> int:
    """Number of the moment at a row and a column of the equations."""
    product = _PRODUCTS.index("".join(sorted((one[0], other[0]), key="xym".index)))
    return len(_POWERS) * product + _POWERS.index((one[1] + other[1], one[2] + other[2]))


_PLACES = [[_place(one, other) for other in (*_UNKNOWNS, ("m", 0, 0))] for one in _UNKNOWNS]
_ENERGY = _PLACES[4][4], _PLACES[5][5]
"""Places of the moments of xx and yy."""
