"""Displacement without learning: least squares on a linear encoder's filters, and the warp by a displacement."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.affine import in_the_middle
from tremorscope.model.networks.slopes import curvature, slopes
from tremorscope.model.networks.windows import averages, weighted_averages


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
            pairs.append(curvature(frame - 0.5, kernels, stride).square())
        products = torch.stack([each.sum(dim=1) for each in pairs], dim=1)  # (B, 6 or 7, h, w)
        return Equations(products, _ROUNDING_VARIANCE * kernels.square().sum(), gain)

    def solve(self, equations: Equations) -> Tensor:
        """Displacement times gain in cells (x, y), and the unexplained share of the motion (0 to 1), for each window.

        Returns:
            B x 3 W x h x w for W windows: the plain windows first, then those that weight cells by their motion.
        """
        products, flat, gain = equations
        averaged = averages(products, self.windows_cells)  # a window each: (B, 6 or 7, h, w)
        if self.moving_windows_cells:
            weight = products[:, 5:6] / (products[:, 0:1] + products[:, 2:3] + flat)  # (B, 1, h, w)
            averaged += weighted_averages(products * weight, weight, self.moving_windows_cells)
        displacements, explained = _solved(torch.stack(averaged, dim=2), flat)
        # At gain 0 the output must not depend on the motion; below it, motion is taken away as surely as it is added.
        unexplained = 1.0 - gain.abs().clamp(max=1.0) * explained  # (B, W, h, w)
        cells = self._in_cells(displacements, gain)  # (B, W, 2, h, w)
        return torch.cat((cells, unexplained.unsqueeze(2)), dim=2).flatten(1, 2)  # (B, 3 W, h, w)

    def within(
        self,
        equations: Equations,
        weights: Tensor,
        windows: tuple[int, ...],
        affine_windows: tuple[int, ...] = (),
    ) -> Tensor:
        """Displacement times gain in cells (x, y) of layers for each window, by their weights: B x L x W x 2 x h x w.

        Args:
            weights: B x L x h x w, above 0.
            windows: odd sides of cascaded averaging windows in cells.
            affine_windows: sides of windows, twice an odd number, over which the displacement may vary linearly.
        """
        layers = weights.shape[1]
        gain = equations.gain.detach().repeat_interleave(layers, dim=0)
        weighted, weight = _weighted(equations.products, weights)
        averaged = weighted_averages(weighted, weight, windows)
        found = [_solved(torch.stack(averaged, dim=2), equations.flat)[0]]  # (B L, W, 2, h, w)
        if affine_windows:
            found.append(_varying(weighted, weight, affine_windows, equations.flat, averaged[-1]))
        cells = self._in_cells(torch.cat(found, dim=1), gain)
        return torch.unflatten(cells, 0, (-1, layers))

    def widest(self, equations: Equations, weights: Tensor, window: int) -> Tensor:
        """Displacement in px of layers, each with its own weight of each cell, that may vary linearly over a window.

        B x L x h x w, above 0, and the window's side in cells, twice an odd number -> B x L x 2 x h x w.
        """
        weighted, weight = _weighted(equations.products[:, :6], weights)
        found = _varying(weighted, weight, (window,), equations.flat)  # (B L, 1, 2, h, w)
        return torch.unflatten(found[:, 0], 0, (-1, weights.shape[1]))

    def around(self, equations: Equations, weights: Tensor, window: int) -> Tensor:
        """Displacement in px of layers, each with its own weight of each cell, over an odd window around each cell.

        B x L x h x w, above 0 -> B x L x 2 x h x w.
        """
        (averaged,) = weighted_averages(*_weighted(equations.products[:, :6], weights), (window,))
        found, _ = _solved(averaged.unsqueeze(2), equations.flat)  # (B L, 1, 2, h, w)
        return torch.unflatten(found[:, 0], 0, (-1, weights.shape[1]))

    def _in_cells(self, displacements: Tensor, gain: Tensor) -> Tensor:
        """Displacements in px, B x W x 2 x h x w, times the gain in cells."""
        cells = displacements * (gain / self.stride).unsqueeze(1)
        return cells.clamp(-_LARGEST_FLOW_CELLS, _LARGEST_FLOW_CELLS)


def _weighted(products: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Products of cells times the weights that layers give them, (B L) x N x h x w, and those, (B L) x 1 x h x w."""
    # Without a gradient: that of a quotient of sums, times the gain, would drown all others.
    weight = weights.detach().flatten(0, 1).unsqueeze(1)
    return products.detach().repeat_interleave(weights.shape[1], dim=0) * weight, weight


def _varying(
    weighted: Tensor, weight: Tensor, windows: tuple[int, ...], flat: Tensor, wide: Tensor | None = None
) -> Tensor:
    """Displacements in px that may vary linearly over their windows: B x V x 2 x h x w.

    By weighted products B x 6 or 7 x h x w, their weight B x 1 x h x w, and averages of a wide window, B x 7 x h x w,
    whose curvature counts as a part of the slopes' energy; none without.
    """
    # In pairs of cells along both axes, of which an odd last one has nothing: a fourth of the work.
    cells = F.pad(torch.cat((weighted[:, :5], weight), dim=1), (0, 1, 0, 1))
    middles = in_the_middle(
        F.avg_pool2d(cells, 2), tuple(side // 2 for side in windows)
    )  # (V B, 5, h/2, w/2)
    # The motion's own energy, which only tells how much is explained, is not asked for.
    rest = [torch.zeros_like(middles[:, :1])]
    if wide is not None:
        spread = torch.cat(len(windows) * [wide[:, :, ::2, ::2]])  # (V B, 7, h/2, w/2)
        part = spread[:, 6:] / (spread[:, 0:1] + spread[:, 2:3] + flat)
        rest.append((middles[:, 0:1] + middles[:, 2:3]) * part)
    solved = _solved(torch.cat((middles, *rest), dim=1).unsqueeze(2), flat)[0].squeeze(
        1
    )  # (V B, 2, h/2, w/2)
    # Linear between the windows' middles, as it is within a window.
    rows, columns = weight.shape[2:]
    between = F.interpolate(solved, scale_factor=2.0, mode="bilinear")[:, :, :rows, :columns]
    return torch.unflatten(between, 0, (len(windows), -1)).transpose(0, 1)


def _solved(averaged: Tensor, flat: Tensor) -> tuple[Tensor, Tensor]:
    """Displacement in px and the explained share of the motion, by equations averaged over each window.

    B x 6 or 7 x W x h x w -> B x W x 2 x h x w and B x W x h x w.
    """
    xx, xy, yy, xm, ym, mm, *curved = averaged.unbind(1)  # (B, W, h, w) each
    xx, yy = xx + flat, yy + flat
    determinant = xx * yy - xy * xy  # (B, W, h, w), as all that follow
    d_x, d_y = (xy * ym - yy * xm) / determinant, (xy * xm - xx * ym) / determinant
    explained = -(d_x * xm + d_y * ym) / (mm + flat)
    for energy in curved:
        excess = _excess((d_x * d_x + d_y * d_y) * energy / (xx + yy))
        d_x, d_y = d_x / excess, d_y / excess
    return torch.stack((d_x, d_y), dim=2), explained


def _excess(turned: Tensor) -> Tensor:
    """Least-squares over true displacement; ``turned`` is the former, squared, times curvature over slope, squared.

    By the mean of the two frames a wave of wave number k along a displacement d seems to have moved by 2 tan(k d / 2) /
    k. So the true displacement is the seeming one times atan(t) / t, t = half of it times k; that is 3 / (1 + 2 sqrt(1
    + t^2)) within 1 % up to t = 1.5. The curvature gives k of all directions; as least squares weight them, for
    texture of all directions, 3/4 of its square lie along the displacement.
    """
    return (1.0 + 2.0 * (1.0 + _ALONG / 4 * turned).sqrt()) / 3.0


_ROUNDING_VARIANCE = 1 / (12 * 255**2)
_LARGEST_FLOW_CELLS = 8.0
_ALONG = 3 / 4


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
