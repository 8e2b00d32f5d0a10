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

    def solve(self, equations: Equations) -> tuple[Tensor, Tensor]:
        """Displacement times gain in cells (x, y), and the unexplained share of the motion (0 to 1), for each window.

        Returns:
            B x W x 2 x h x w and B x W x h x w: the plain windows first, then those that weight cells by their motion.
        """
        products, flat, gain = equations
        averaged = averages(products, self.windows_cells)  # a window each: (B, 6 or 7, h, w)
        if self.moving_windows_cells:
            weight = products[:, 5:6] / (products[:, 0:1] + products[:, 2:3] + flat)  # (B, 1, h, w)
            averaged += weighted_averages(products * weight, weight, self.moving_windows_cells)
        displacements, explained = _solved(torch.stack(averaged, dim=2), flat)
        # At gain 0 the output must not depend on the motion; below it, motion is taken away as surely as it is added.
        unexplained = 1.0 - gain.abs().clamp(max=1.0) * explained  # (B, W, h, w)
        return self.in_cells(displacements, gain), unexplained

    def within(
        self,
        equations: Equations,
        weights: Tensor,
        windows: tuple[int, ...],
        affine_windows: tuple[int, ...] = (),
    ) -> Tensor:
        """Displacement in px (x, y) of layers for each window, by their weights: B x L x W x 2 x h x w.

        Args:
            weights: B x L x h x w, above 0.
            windows: odd sides of cascaded averaging windows in cells.
            affine_windows: sides of windows, two or four times an odd number, over which it may vary linearly.
        """
        # Without a gradient: that of a quotient of sums, times the gain, would drown all others.
        weight = weights.detach().flatten(0, 1).unsqueeze(1)  # (B L, 1, h, w)
        weighted = equations.products.detach().repeat_interleave(weights.shape[1], dim=0) * weight
        averaged = weighted_averages(weighted, weight, windows)
        wide = averaged[-1] if windows else None
        found = [
            _varying(weighted, weight, side, equations.flat, wide).unsqueeze(1) for side in affine_windows
        ]
        if windows:
            found.insert(0, _solved(torch.stack(averaged, dim=2), equations.flat)[0])  # (B L, W, 2, h, w)
        return torch.unflatten(torch.cat(found, dim=1), 0, (-1, weights.shape[1]))

    def in_cells(self, displacements_px: Tensor, gain: Tensor) -> Tensor:
        """Displacements in px, B x W x 2 x h x w, times the gain in cells."""
        cells = displacements_px * (gain / self.stride).unsqueeze(1)
        return cells.clamp(-_LARGEST_FLOW_CELLS, _LARGEST_FLOW_CELLS)


def _varying(weighted: Tensor, weight: Tensor, side: int, flat: Tensor, wide: Tensor | None) -> Tensor:
    """Displacement in px that may vary linearly over its window: B x 2 x h x w.

    By weighted products B x 6 or 7 x h x w, their weight B x 1 x h x w, and averages of a wide window, B x 7 x h x w,
    whose curvature counts as a part of the slopes' energy; none without.
    """
    # Middles of windows are as many cells apart as leave an odd side: a fourth of the work, or a sixteenth.
    apart = 2 if side % 4 else 4
    rows, columns = weight.shape[2:]
    cells = F.pad(torch.cat((weighted[:, :5], weight), dim=1), (0, apart - 1, 0, apart - 1))
    middles = in_the_middle(F.avg_pool2d(cells, apart), side // apart)  # (B, 5, h / apart, w / apart)
    # The motion's own energy, which only tells how much is explained, is not asked for.
    rest = [torch.zeros_like(middles[:, :1])]
    if wide is not None:
        spread = wide[:, :, ::apart, ::apart]  # (B, 7, h / apart, w / apart)
        part = spread[:, 6:] / (spread[:, 0:1] + spread[:, 2:3] + flat)
        rest.append((middles[:, 0:1] + middles[:, 2:3]) * part)
    solved = _solved(torch.cat((middles, *rest), dim=1).unsqueeze(2), flat)[0].squeeze(1)
    # Linear between the windows' middles, as it is within a window.
    return F.interpolate(solved, scale_factor=float(apart), mode="bilinear")[:, :, :rows, :columns]


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


def warp(frame: Tensor, displacement_px: Tensor, filmed_px: tuple[int, int] | None = None) -> Tensor:
    """Backward warp: the result at x is the frame at x - displacement(x).

    Bilinear between pixels; outside, the border's pixels are repeated.

    Args:
        frame: B x C x H x W.
        displacement_px: B x 2 (x, y) x H x W.
        filmed_px: height and width of what is filmed, in the upper left of the frame; None: all of it.

    Returns:
        B x C x H x W.
    """
    height, width = frame.shape[2:]
    filmed_height, filmed_width = filmed_px or (height, width)
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
    x = x.clamp(min=1.0 / width - 1.0, max=(2.0 * filmed_width - 1.0) / width - 1.0)
    y = y.clamp(min=1.0 / height - 1.0, max=(2.0 * filmed_height - 1.0) / height - 1.0)
    grid = torch.stack((x, y), dim=-1)  # (B, H, W, 2)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
