"""Slopes and curvature of a picture, as a linear encoder's kernels see them, and the kernels for it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def smooth_kernels(side_px: int) -> Tensor:
    """Initial kernels of a shape encoder: blurred luma, its first and second derivatives, two blurred chromas.

    Change over slope is a displacement only where both are smooth at the scale of the displacement.

    Returns:
        8 x 3 x side x side, each of unit energy.
    """
    at = (torch.arange(side_px) - (side_px - 1) / 2) / (0.2 * side_px)  # (k,)
    blur = torch.exp(-at.square() / 2)  # (k,)
    profiles = (blur, -at * blur, (at.square() - 1) * blur)
    luma, red_green, blue_yellow = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
    orders = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    planes = [(luma, y, x) for y, x in orders] + [(red_green, 0, 0), (blue_yellow, 0, 0)]
    kernels = torch.stack(
        [colour[:, None, None] * torch.outer(profiles[y], profiles[x]) for colour, y, x in planes]
    )  # (8, 3, k, k)
    scaled: Tensor = kernels / kernels.flatten(1).norm(dim=1)[:, None, None, None]
    return scaled


_SLOPES = {
    4: (4 / 5, -1 / 5, 4 / 105, -1 / 280),
    6: (0.9361, -0.3811, 0.177, -0.076, 0.0257, -0.0049),
}
"""Central differences by their reach in px. Those over nine pixels, of the highest order, are 3 % too small at a period
of 4 px, where those over five are 15 %, and displacements of fine texture are too large by as much. Those over 13 are
within .5 % down to 2.8 px: least squares of the relative error up to there, exact for the longest waves."""


def slopes(picture: Tensor, kernels: Tensor, stride: int, reach_px: int = 4) -> tuple[Tensor, Tensor]:
    """Slopes of a picture along x and y, encoded by an encoder's kernels.

    Args:
        picture: B x 3 x H x W in [0, 1].
        kernels: C x 3 x k x k.
        stride: pixels a cell.
        reach_px: of the central differences, 4 or 6.

    Returns:
        Slopes along x and along y, B x C x h x w each.
    """
    return slopes_of_difference(picture - 0.5, kernels, stride, reach_px)


def slopes_of_difference(
    difference: Tensor, kernels: Tensor, stride: int, reach_px: int = 4
) -> tuple[Tensor, Tensor]:
    """As `slopes`, of a difference of pictures, B x 3 x H x W in [-1, 1]: those of one less those of the other."""
    before = (kernels.shape[-1] - stride) // 2
    after = before + stride - 1
    far = (before + reach_px, after + reach_px)
    along_x, along_y = slope(kernels, 3, reach_px), slope(kernels, 2, reach_px)
    return (
        F.conv2d(F.pad(difference, (*far, before, after)), along_x, stride=stride),
        F.conv2d(F.pad(difference, (before, after, *far)), along_y, stride=stride),
    )  # (B, C, h, w) each


def curvature(centred: Tensor, kernels: Tensor, stride: int) -> Tensor:
    """Laplacian of a picture less 0.5, encoded by an encoder's kernels: B x 3 x H x W -> B x C x h x w."""
    padded = F.pad(kernels, (1, 1, 1, 1))  # (C, 3, k + 2, k + 2)
    laplacian = -4.0 * padded
    for axis in (2, 3):
        laplacian = laplacian + padded.roll(1, axis) + padded.roll(-1, axis)
    before = (kernels.shape[-1] - stride) // 2 + 1
    room = (before, before + stride - 1)
    return F.conv2d(F.pad(centred, (*room, *room)), laplacian, stride=stride)


def slope(kernels: Tensor, axis: int, reach_px: int = 4) -> Tensor:
    """Kernels that encode a picture's slope along an axis as ``kernels`` encode the picture; longer by the reach."""
    room = (reach_px, reach_px, 0, 0) if axis == 3 else (0, 0, reach_px, reach_px)
    padded = F.pad(kernels, room)  # (C, 3, k, k + 2 reach) or (C, 3, k + 2 reach, k)
    differences = torch.zeros_like(padded)
    for distance_px, weight in enumerate(_SLOPES[reach_px], start=1):
        differences = differences + weight * (
            padded.roll(distance_px, axis) - padded.roll(-distance_px, axis)
        )
    return differences
