"""Least-squares displacement that may vary linearly over its window, as where a part turns, bends, shears or grows."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.windows import average

_RIDGE = 3e-3
"""Regularisation of the gradient, of the slopes' energy in the window."""
# Powers of (x, y) from the window's middle, times either component: the unknowns, those of the gradient first.
_UNKNOWNS = (("x", 1, 0), ("x", 0, 1), ("y", 1, 0), ("y", 0, 1), ("x", 0, 0), ("y", 0, 0))
_GRADIENT = 4
_PRODUCTS = ("xx", "xy", "yy", "xm", "ym")
_POWERS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
"""Powers of x and y that two unknowns make together."""


def in_the_middle(products: Tensor, side: int) -> Tensor:
    """Normal equations of the displacement in the middle of a window, over which it may vary linearly.

    With the gradient of the displacement as four more unknowns, which are eliminated (Schur's complement), what is left
    are equations of the same form as those of one displacement for the whole window.

    Args:
        products: xx, xy, yy, xm and ym of slopes (x, y) and motion (m), times each cell's weight, and that weight:
            B x 6 x h x w.
        side: of the window, odd, whose weights fall off as a raised cosine.

    Returns:
        The first five by the window's mean weight: B x 5 x h x w.
    """
    moments = _moments(products, side)  # (B, 32, h, w)
    places = torch.tensor(_PLACES, device=products.device)  # (6, 7)
    rows = moments.index_select(1, places.flatten())
    rows = torch.unflatten(rows, 1, places.shape)  # (B, 6, 7, h, w)
    of_x, of_y = _ENERGY
    energy = moments[:, of_x : of_x + 1] + moments[:, of_y : of_y + 1]  # (B, 1, h, w)
    ridge = _RIDGE * torch.eye(*places.shape, device=products.device)
    ridge[_GRADIENT:] = 0.0
    rows = rows + ridge[..., None, None] * energy.unsqueeze(1)
    for _ in range(_GRADIENT):
        factor = rows[:, 1:, :1] / rows[:, :1, :1].clamp(min=_LEAST_PIVOT)
        rows = rows[:, 1:, 1:] - factor * rows[:, :1, 1:]  # (B, a row and a column less, h, w)
    left = rows.flatten(1, 2).index_select(1, torch.tensor((0, 1, 4, 2, 5), device=products.device))
    return left / moments[:, _WEIGHT:-1].clamp(min=_LEAST_PIVOT)


def turned_whole(displacement: Tensor) -> Tensor:
    """A displacement that was magnified along its tangents -> where a part turns as a whole, that of a rotation.

    Times a gain, the small displacement of a part that turns by an angle w is w J p at p from its middle (J turns by a
    quarter), and makes it larger by w^2 / 2; that of a rotation has - w^2 p / 2 = w J (w J p) / 2 in addition. The
    angle is half of the curl, as far as the part's shape is kept: none where it grows or shears.

    Args:
        displacement: x and y in cells, B x 2 x h x w.
    """
    padded = F.pad(displacement.detach(), (1, 1, 1, 1), mode="replicate")  # (B, 2, h + 2, w + 2)
    along_x = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]  # (B, 2, h, w)
    along_y = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    gradient = 0.5 * torch.cat((along_x, along_y), dim=1)
    gradient = average(gradient, _CURL_CELLS)
    xx, yx, xy, yy = torch.split(gradient, [1, 1, 1, 1], dim=1)  # (B, 1, h, w) each; yx: of y along x
    angle = 0.5 * (yx - xy)
    turns = angle.square()
    deforms = 0.25 * ((xx - yy).square() + (xy + yx).square() + (xx + yy).square())
    angle = angle * ((turns - deforms) / (turns + deforms + _LEAST_TURN)).clamp(min=0.0)
    x, y = torch.split(displacement, [1, 1], dim=1)  # (B, 1, h, w) each
    return displacement + 0.5 * angle * torch.cat((-y, x), dim=1)


_CURL_CELLS = 5
_LEAST_TURN = 1e-6


_LEAST_PIVOT = 1e-20


def raised_cosine(length: int) -> Tensor:
    """Weights that fall off to both ends and add up to 1: (length,)."""
    weights = 1.0 + torch.cos((torch.arange(length) - length // 2) * (2 * torch.pi / (length + 1)))
    return weights / weights.sum()


def _moments(products: Tensor, length: int) -> Tensor:
    """Window sums times powers of x and y up to 2 in all: B x 6 x h x w -> B x 32 x h x w.

    Of the sixth the plain sum alone; the last is unused. Along y each moment is a channel of its own, in whole blocks
    of 16, for which CPUs have kernels.
    """
    weights = raised_cosine(length).to(products)
    at = (torch.arange(length).to(products) - length // 2) / (length / 4)
    powers = torch.stack([weights * at**power for power in range(3)])  # (3, n)
    along_x = F.conv2d(
        products, powers[:, None, None].repeat(6, 1, 1, 1), padding=(0, length // 2), groups=6
    )  # (B, 18, h, w)
    each = [(3 * product + x, y) for product in range(len(_PRODUCTS)) for x, y in _POWERS] + [(15, 0)] * 2
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
_WEIGHT = len(_POWERS) * len(_PRODUCTS)
