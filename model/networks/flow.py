"""Displacement without learning: least squares on a linear encoder's own filters, and the warp by a displacement."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LeastSquaresFlow(nn.Module):
    """The displacement that explains a motion best, cell by cell, over windows of several sizes.

    A displacement d changes a frame by -d times its slopes, and every linear encoding of it alike: motion = -(d_x S_x
    + d_y S_y), where S are the encodings of the slopes, which a linear encoder gives by one more convolution. The
    least-squares solution over a window (Lucas and Kanade, IJCAI 1981) has no parameters; how far it can be trusted
    where, the decoder learns. Of two frames the slopes are best taken halfway between them: what is left out is then
    of third order in the displacement, and the slopes share no noise with the motion.
    """

    def __init__(
        self,
        windows_cells: tuple[int, ...],
        probes: int,
        stride: int,
        moving_windows_cells: tuple[int, ...] = (),
    ) -> None:
        """Windows as `RealtimeConfig` names them; the fit is made on the encoder's first ``probes`` kernels."""
        super().__init__()
        self.windows_cells, self.moving_windows_cells = windows_cells, moving_windows_cells
        self.probes, self.stride = probes, stride

    def forward(self, picture: Tensor, motion: Tensor, gain: Tensor, kernels: Tensor) -> Tensor:
        """Displacement times gain in cells (x, y) and how badly it explains the motion (0 to 1), for each window.

        Args:
            picture: whose slopes are taken, B x 3 x H x W in [0, 1].
            motion: B x C x h x w.
            gain: B x 1 x 1 x 1 or B x 1 x h x w.
            kernels: the encoder's that made ``motion``, C x 3 x k x k.

        Returns:
            B x 3 W x h x w for W windows, those that weight cells by how far they move behind the others.
        """
        probes, stride = self.probes, self.stride
        kernels, motion = kernels[:probes], motion[:, :probes]
        x, y = slopes(picture, kernels, stride)
        products = torch.stack((x * x, x * y, y * y, x * motion, y * motion, motion * motion), dim=1).sum(
            dim=2
        )
        # Rounding to 8 bits leaves slopes of its own: below them there is nothing to measure.
        flat = _ROUNDING_VARIANCE * kernels.square().sum()
        averaged = _averages(products, self.windows_cells)
        if self.moving_windows_cells:
            weight = products[:, 5:] / (products[:, 0:1] + products[:, 2:3] + flat)
            # Their mean is one, so that what counts as flat stays what it is.
            mean = _average(weight, self.moving_windows_cells[-1])
            averaged += _averages(products * (weight / (mean + _LEAST_WEIGHT)), self.moving_windows_cells)
        return self._solve(torch.stack(averaged, dim=2), flat, gain)

    def _solve(self, products: Tensor, flat: Tensor, gain: Tensor) -> Tensor:
        xx, xy, yy, xm, ym, mm = products.unbind(1)  # B x W x h x w each
        xx, yy = xx + flat, yy + flat
        determinant = xx * yy - xy * xy
        d_x, d_y = (xy * ym - yy * xm) / determinant, (xy * xm - xx * ym) / determinant
        explained = -(d_x * xm + d_y * ym) / (mm + flat)
        # Without gain nothing about the motion may show.
        unexplained = 1.0 - gain.clamp(max=1.0) * explained
        x, y = (
            (each * (gain / self.stride)).clamp(-_LARGEST_FLOW_CELLS, _LARGEST_FLOW_CELLS)
            for each in (d_x, d_y)
        )
        return torch.stack((x, y, unexplained), dim=2).flatten(1, 2)


def _averages(products: Tensor, windows: tuple[int, ...]) -> list[Tensor]:
    """After each window, averaging over what the one before gave: B x 6 x h x w -> as many of the same."""
    found = []
    for window in windows:
        products = _average(products, window)
        found.append(products)
    return found


def _average(cells: Tensor, window: int) -> Tensor:
    return F.avg_pool2d(cells, window, 1, window // 2, count_include_pad=False) if window > 1 else cells


_ROUNDING_VARIANCE = 1 / (12 * 255**2)
_LARGEST_FLOW_CELLS = 8.0
_LEAST_WEIGHT = 1e-12
"""In px squared: a millionth of a pixel is no motion."""


def smooth_kernels(side_px: int) -> Tensor:
    """Eight kernels that a shape encoder starts from: luma blurred and its derivatives, and two chromas blurred.

    A displacement is a ratio of change to slope only where both are smooth at the scale of the displacement.

    Returns:
        8 x 3 x side x side, each of unit energy.
    """
    at = (torch.arange(side_px) - (side_px - 1) / 2) / (0.2 * side_px)
    blur = torch.exp(-at.square() / 2)
    profiles = (blur, -at * blur, (at.square() - 1) * blur)
    luma, red_green, blue_yellow = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]])
    orders = [(0, 0), (0, 1), (1, 0), (0, 2), (1, 1), (2, 0)]
    planes = [(luma, y, x) for y, x in orders] + [(red_green, 0, 0), (blue_yellow, 0, 0)]
    kernels = torch.stack(
        [colour[:, None, None] * torch.outer(profiles[y], profiles[x]) for colour, y, x in planes]
    )
    scaled: Tensor = kernels / kernels.flatten(1).norm(dim=1)[:, None, None, None]
    return scaled


_SLOPE = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
"""The central difference over nine pixels: 3 % short at a period of 4 px, where that over five is 15 %, and every
displacement of fine texture as much too long."""


def slopes(picture: Tensor, kernels: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """Slopes of a picture along x and y, as the kernels of an encoder see them.

    Args:
        picture: B x 3 x H x W in [0, 1].
        kernels: C x 3 x k x k.
        stride: pixels a cell.

    Returns:
        Two of B x C x h x w.
    """
    centred = picture - 0.5
    before = (kernels.shape[-1] - stride) // 2
    after, reach = before + stride - 1, len(_SLOPE)
    far = (before + reach, after + reach)
    along_x = F.conv2d(F.pad(centred, (*far, before, after)), slope(kernels, 3), stride=stride)
    along_y = F.conv2d(F.pad(centred, (before, after, *far)), slope(kernels, 2), stride=stride)
    return along_x, along_y


def slope(kernels: Tensor, axis: int) -> Tensor:
    """Kernels that see the slope of a picture along an axis where ``kernels`` see the picture: 8 longer along it."""
    reach = len(_SLOPE)
    room = (reach, reach, 0, 0) if axis == 3 else (0, 0, reach, reach)
    padded = F.pad(kernels, room)
    found = torch.zeros_like(padded)
    for distance_px, weight in enumerate(_SLOPE, start=1):
        found = found + weight * (padded.roll(distance_px, axis) - padded.roll(-distance_px, axis))
    return found


def warp(frame: Tensor, displacement_px: Tensor) -> Tensor:
    """Move each pixel's content: what comes to lie at x is what the frame shows at x - displacement(x).

    Bilinear between pixels; from outside comes what lies at the border.

    Args:
        frame: B x C x H x W.
        displacement_px: B x 2 (x, y) x H x W.

    Returns:
        B x C x H x W.
    """
    height, width = frame.shape[2:]
    # Counted in whole numbers, for a step graph: TensorRT takes those for sizes, and floating point with caveats.
    x = torch.arange(width, device=frame.device).to(frame.dtype) - displacement_px[:, 0]
    y = torch.arange(height, device=frame.device).to(frame.dtype)[:, None] - displacement_px[:, 1]
    # Centres of pixels in the coordinates of grid_sample, in which the picture reaches from -1 to 1.
    grid = torch.stack(((2 * x + 1) / width - 1, (2 * y + 1) / height - 1), dim=-1)
    return F.grid_sample(frame, grid, mode="bilinear", padding_mode="border", align_corners=False)
