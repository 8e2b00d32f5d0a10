"""Displacement without learning: least squares on a linear encoder's filters, and the warp by a displacement."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.affine import in_the_middle


class Equations(NamedTuple):
    """Normal equations of each cell's least-squares displacement, not yet averaged over any window."""

    products: Tensor
    """Products of slopes and motion, summed over the probes: B x 6 x h x w, or 7 with the curvature's square."""
    flat: Tensor
    """Regularisation: the gradient energy of 8-bit quantisation noise, a scalar."""
    gain: Tensor
    """B x 1 x 1 x 1 or B x 1 x h x w."""


class LeastSquaresFlow:
    """Least-squares displacement of each cell, over windows of several sizes; no learned parameters.

    A displacement d changes a frame by -d times its slopes, and every linear encoding of it alike: motion = -(d_x S_x
    + d_y S_y), where S are the encodings of the slopes, which a linear encoder gives by one more convolution. It is
    solved by least squares over a window (Lucas and Kanade, IJCAI 1981); the decoder learns how reliable each solution
    is. Slopes are taken at the mean of the two frames: the remainder is then of third order in the displacement, and
    the noise of the slopes is independent of the motion's.
    """

    def __init__(
        self,
        windows_cells: tuple[int, ...],
        probes: int,
        stride: int,
        moving_windows_cells: tuple[int, ...] = (),
        slope_reach_px: int = 4,
        third_order: bool = False,
    ) -> None:
        """Windows and accuracy as `RealtimeConfig` names them; the fit uses the encoder's first ``probes`` kernels."""
        self.windows_cells, self.moving_windows_cells = windows_cells, moving_windows_cells
        self.probes, self.stride = probes, stride
        self.slope_reach_px, self.third_order = slope_reach_px, third_order

    def equations(
        self,
        picture: Tensor | tuple[Tensor, Tensor],
        motion: Tensor,
        gain: Tensor,
        kernels: Tensor,
        frame: Tensor | None = None,
    ) -> Equations:
        """Equations of a frame, to be solved over windows by `solve` and `within`.

        Args:
            picture: source of the slopes, B x 3 x H x W in [0, 1]; or the slopes, as `slopes` gives them.
            motion: B x C x h x w.
            gain: B x 1 x 1 x 1 or B x 1 x h x w.
            kernels: of the encoder that made ``motion``, C x 3 x k x k.
            frame: source of the curvature for ``third_order``, B x 3 x H x W in [0, 1].
        """
        probes, stride = self.probes, self.stride
        kernels, motion = kernels[:probes], motion[:, :probes]  # (P, 3, k, k), (B, P, h, w)
        x, y = (
            picture if isinstance(picture, tuple) else slopes(picture, kernels, stride, self.slope_reach_px)
        )  # (B, P, h, w) each
        pairs = [x * x, x * y, y * y, x * motion, y * motion, motion * motion]
        if self.third_order and frame is not None:
            pairs.append(_curvature(frame - 0.5, kernels, stride).square())
        products = torch.stack([each.sum(dim=1) for each in pairs], dim=1)  # (B, 6 or 7, h, w)
        return Equations(products, _ROUNDING_VARIANCE * kernels.square().sum(), gain)

    def solve(self, equations: Equations) -> Tensor:
        """Displacement times gain in cells (x, y), and the unexplained share of the motion (0 to 1), for each window.

        Returns:
            B x 3 W x h x w for W windows: the plain windows first, then those that weight cells by their motion.
        """
        products, flat, _ = equations
        averaged = _averages(products, self.windows_cells)  # a window each: (B, 6 or 7, h, w)
        if self.moving_windows_cells:
            weight = products[:, 5:6] / (products[:, 0:1] + products[:, 2:3] + flat)  # (B, 1, h, w)
            moving = self.moving_windows_cells
            averaged += _averages(_weighted(products, weight, moving[-1]), moving)
        return self._solve(averaged, equations).flatten(1, 2)  # (B, 3 W, h, w)

    def within(
        self,
        equations: Equations,
        shares: Tensor,
        windows: tuple[int, ...],
        affine_windows: tuple[int, ...] = (),
    ) -> Tensor:
        """Displacement times gain in cells (x, y) of layers that share each cell, for each window.

        Args:
            equations: of the frame.
            shares: B x L x h x w in [0, 1].
            windows: odd sides of cascaded averaging windows in cells.
            affine_windows: odd sides of windows over which the displacement may vary linearly.

        Returns:
            B x L x W x 2 x h x w; where a layer has no share, as if it had all.
        """
        layers = shares.shape[1]
        # Without a gradient: that of a quotient of sums, times the gain, would drown all others.
        products, gain = (
            each.detach().repeat_interleave(layers, dim=0) for each in (equations.products, equations.gain)
        )
        weight = shares.detach().flatten(0, 1).unsqueeze(1).square() + _LEAST_SHARE  # (B L, 1, h, w)
        weighted = _weighted(products, weight, max(windows))  # (B L, 6 or 7, h, w)
        averaged = _averages(weighted, windows)
        wide = averaged[-1]
        for side in affine_windows:
            middle = in_the_middle(weighted[:, :5], side)  # (B L, 5, h, w)
            # The curvature of the widest window counts as a part of the slopes' energy.
            energy = (middle[:, 0] + middle[:, 2]) / (wide[:, 0] + wide[:, 2] + equations.flat)  # (B L, h, w)
            averaged.append(torch.cat((middle, wide[:, 5:6], wide[:, 6:] * energy.unsqueeze(1)), dim=1))
        solved = self._solve(averaged, Equations(products, equations.flat, gain))  # (B L, W, 3, h, w)
        return torch.unflatten(solved[:, :, :2], 0, (-1, layers))

    def _solve(self, averaged: list[Tensor], equations: Equations) -> Tensor:
        """Products of each window, B x 6 or 7 x h x w each -> B x W x 3 x h x w."""
        _, flat, gain = equations
        xx, xy, yy, xm, ym, mm, *curved = torch.stack(averaged, dim=2).unbind(1)  # (B, W, h, w) each
        xx, yy = xx + flat, yy + flat
        determinant = xx * yy - xy * xy  # (B, W, h, w), as all that follow
        d_x, d_y = (xy * ym - yy * xm) / determinant, (xy * xm - xx * ym) / determinant
        explained = -(d_x * xm + d_y * ym) / (mm + flat)
        for energy in curved:
            excess = _excess((d_x * d_x + d_y * d_y) * energy / (xx + yy))  # (B, W, h, w)
            d_x, d_y = d_x / excess, d_y / excess
        # At gain 0 the output must not depend on the motion; below it, motion is taken away as surely as it is added.
        unexplained = 1.0 - gain.abs().clamp(max=1.0) * explained
        x, y = (
            (each * (gain / self.stride)).clamp(-_LARGEST_FLOW_CELLS, _LARGEST_FLOW_CELLS)
            for each in (d_x, d_y)
        )
        return torch.stack((x, y, unexplained), dim=2)  # (B, W, 3, h, w)


def _excess(turned: Tensor) -> Tensor:
    """Least-squares over true displacement; ``turned`` is the former, squared, times curvature over slope, squared.

    By the mean of the two frames a wave of wave number k along a displacement d seems to have moved by 2 tan(k d / 2) /
    k. So the true displacement is the seeming one times atan(t) / t, t = half of it times k; that is 3 / (1 + 2 sqrt(1
    + t^2)) within 1 % up to t = 1.5. The curvature gives k of all directions; as least squares weight them, for
    texture of all directions, 3/4 of its square lie along the displacement.
    """
    return (1.0 + 2.0 * (1.0 + _ALONG / 4 * turned).sqrt()) / 3.0


def _averages(products: Tensor, windows: tuple[int, ...]) -> list[Tensor]:
    """Cascaded window averages: B x N x h x w -> one of the same shape a window."""
    averaged = []
    for window in windows:
        products = _average(products, window)  # (B, N, h, w)
        averaged.append(products)
    return averaged


def _weighted(products: Tensor, weight: Tensor, window: int) -> Tensor:
    """Products weighted by B x 1 x h x w, of mean 1 in a window, so that the regularisation keeps its strength."""
    mean = _average(weight, window)  # (B, 1, h, w)
    return products * (weight / mean.clamp(min=_LEAST_WEIGHT))


def _average(cells: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(cells, window, 1, window // 2, count_include_pad=False) if window > 1 else cells


_ROUNDING_VARIANCE = 1 / (12 * 255**2)
_LARGEST_FLOW_CELLS = 8.0
_ALONG = 3 / 4
_LEAST_SHARE = 1e-3
"""Weight of a cell that a layer has nothing of, against 1 of one that is all its own."""
_LEAST_WEIGHT = 1e-12
"""In px squared: (1e-6 px)^2, below any motion that can be measured."""


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


def _curvature(centred: Tensor, kernels: Tensor, stride: int) -> Tensor:
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


def warp(frame: Tensor, displacement_px: Tensor) -> Tensor:
    """Backward warp: the result at x is the frame at x - displacement(x).

    Bilinear between pixels; outside, the border's pixels are repeated.

    Args:
        frame: B x C x H x W.
        displacement_px: B x 2 (x, y) x H x W.

    Returns:
        B x C x H x W.
    """
    height, width = frame.shape[2:]
    # Centres of pixels in the coordinates of grid_sample, in which the picture reaches from -1 to 1. Integer ranges,
    # for the step graph: TensorRT takes them as shapes, floating-point ones only with restrictions.
    x, y = (
        (2.0 * torch.arange(length, device=frame.device).to(frame.dtype) + 1.0) / length - 1.0
        for length in (width, height)
    )  # (W,), (H,)
    x = x - displacement_px[:, 0] * (2.0 / width)  # (B, H, W)
    y = y[:, None] - displacement_px[:, 1] * (2.0 / height)
    # Clamped here, so that nothing outside is read: ONNX Runtime has a kernel for zeros there that takes a third of the
    # time of that which repeats the border (microsoft/onnxruntime pull request 27359).
    edges = (1.0 - 1.0 / length for length in (width, height))
    x, y = (each.clamp(min=-edge, max=edge) for each, edge in zip((x, y), edges, strict=True))
    grid = torch.stack((x, y), dim=-1)  # (B, H, W, 2)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
