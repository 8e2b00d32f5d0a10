"""Two layers of a frame, each moved by a smooth displacement: their head, and what they draw."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.model.networks.blocks import convolution
from tremorscope.model.networks.flow import warp
from tremorscope.model.networks.guide import beside, follow_colours


def draw_layers(frame: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
    """Composite two layers of a frame, each warped by its own displacement.

    The mask of the upper layer and the fill of the lower one are drawn on the unmoved frame, where the edges are
    seen, and are warped with their layers.

    Args:
        frame: B x 3 x H x W in [0, 1].
        decoded: B x 8 x H x W, as `RealtimeNetwork.decode` gives it.

    Returns:
        The picture, B x 3 x H x W, and the displacement of its content in px, B x 2 x H x W.
    """
    upper_px, lower_px, mask, filled = torch.split(decoded, [2, 2, 1, 3], dim=1)  # (B, each, H, W)
    upper = warp(torch.cat((frame, mask), dim=1), upper_px)  # (B, 4, H, W)
    lower = warp(frame + filled, lower_px)  # (B, 3, H, W)
    shown = upper[:, 3:]  # (B, 1, H, W), coverage by the upper layer
    hidden = 1.0 - shown
    return shown * upper[:, :3] + hidden * lower, shown * upper_px + hidden * lower_px


class LayersHead(nn.Module):
    """Cells to two smooth displacements, a mask, and what is behind it: B x C x h x w -> B x 8 x H x W.

    Each displacement is a decoded residual plus the softmax-weighted mean of the least-squares displacements and of
    zero, so that a measured displacement passes through at any length. The mask's logit is a linear function of the
    frame's colours, fitted to a decoded coarse mask where that is sure, or the coarse mask itself, by a decoded share;
    plus a decoded logit of each pixel. Behind the mask the lower layer shows the colours beside it, where the layers
    move apart by a pixel or more.
    """

    def __init__(self, channels: int, scale: int, windows: int) -> None:
        super().__init__()
        self.scale, self.windows = scale, windows
        self.conv = convolution(channels, 2 * (2 + windows + 1) + 3 + 3 + scale * scale, 3)

    def forward(self, cells: Tensor, flow: Tensor, centred: Tensor) -> Tensor:
        """The output of `RealtimeNetwork.decode`.

        Args:
            cells: B x C x h x w.
            flow: B x 3 W x h x w, as `LeastSquaresFlow` gives it.
            centred: the frame less 0.5, of whole cells: B x 3 x (h scale) x (w scale).
        """
        each = 2 + self.windows + 1
        parts = [each, each, 3, 3, self.scale**2]
        upper, lower, background, coarse, sharp = torch.split(
            self.conv(cells), parts, dim=1
        )  # (B, part, h, w)
        x, y = flow[:, 0::3], flow[:, 1::3]  # (B, W, h, w) each
        displacements = [self._displacement(decoded, x, y) for decoded in (upper, lower)]  # (B, 2, h, w) each
        likely, sure, followed = torch.split(coarse.sigmoid(), [1, 1, 1], dim=1)  # (B, 1, h, w) each
        slope, level = follow_colours(likely, sure, F.avg_pool2d(centred, self.scale))
        slope, level = followed * slope, followed * level + (1.0 - followed) * likely
        # Decoded in cells, so that all outputs of the convolution are of the order of one.
        both = self.scale * torch.cat(displacements, dim=1)  # (B, 4, h, w)
        smooth = self._between(torch.cat((both, slope, level), dim=1))  # (B, 8, H, W)
        moved, slope, level = torch.split(smooth, [4, 3, 1], dim=1)
        by_colour = (slope * centred).sum(dim=1, keepdim=True) + level  # (B, 1, H, W)
        mask = (8.0 * (by_colour - 0.5) + 4.0 * F.pixel_shuffle(sharp, self.scale)).sigmoid()
        behind = self._between(beside(centred, mask, background))  # (B, 3, H, W)
        # Where both layers move alike nothing is uncovered: whole and still pictures stay as sharp as they are.
        apart_px = moved[:, :2] - moved[:, 2:]  # (B, 2, H, W)
        uncovers = apart_px.square().sum(dim=1, keepdim=True).clamp(max=1.0)  # (B, 1, H, W)
        return torch.cat((moved, mask, uncovers * mask * (behind - centred)), dim=1)

    def _between(self, cells: Tensor) -> Tensor:
        """Cells to pixels, bilinear: straight lines stay straight."""
        return F.interpolate(cells, scale_factor=float(self.scale), mode="bilinear")

    def _displacement(self, decoded: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Residual and weights B x (2 + W + 1) x h x w, measured x and y B x W x h x w -> B x 2 x h x w, in cells."""
        weights = decoded[:, 2:].softmax(dim=1)[:, : self.windows]  # (B, W, h, w); the last is that of zero
        mean = [(weights * each).sum(dim=1, keepdim=True) for each in (x, y)]  # (B, 1, h, w) each
        return decoded[:, :2] + torch.cat(mean, dim=1)
