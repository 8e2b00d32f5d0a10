"""Two layers of a frame, each moved by a smooth displacement: their head, and what they draw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.model.networks.affine import turned_whole
from tremorscope.model.networks.blocks import convolution
from tremorscope.model.networks.flow import warp
from tremorscope.model.networks.guide import beside, follow_colours
from tremorscope.model.networks.own_cells import EVIDENCE_CELLS, OwnCells


class FrameLayers(NamedTuple):
    """Two layers of a frame, on it as it is, where the edges are seen; H and W are rounded up to whole cells."""

    upper_px: Tensor
    """Displacement of the upper layer (x, y) in px: B x 2 x H x W."""
    lower_px: Tensor
    """Displacement of the lower layer, as that."""
    mask: Tensor
    """Share of each pixel that the upper layer covers, in [0, 1]: B x 1 x H x W."""
    filled: Tensor
    """Change of the lower layer's colours: B x 3 x H x W."""


def draw_layers(
    picture: Tensor, layers: FrameLayers, filmed_px: tuple[int, int] | None = None
) -> tuple[Tensor, Tensor]:
    """Composite two layers of a picture, each warped by its own displacement, and the mask and the fill with them.

    Args:
        picture: B x 3 x H x W, as large as its layers.
        layers: of the picture.
        filmed_px: height and width of what is filmed, in the upper left of the picture; None: all of it.

    Returns:
        The picture, B x 3 x H x W, and the displacement of its content in px, B x 2 x H x W.
    """
    upper = warp(torch.cat((picture, layers.mask), dim=1), layers.upper_px, filmed_px)  # (B, 4, H, W)
    lower = warp(picture + layers.filled, layers.lower_px, filmed_px)  # (B, 3, H, W)
    upper, shown = torch.split(upper, [3, 1], dim=1)
    added_px = layers.lower_px + shown * (layers.upper_px - layers.lower_px)
    return lower + shown * (upper - lower), added_px


class LayersHead(nn.Module):
    """Cells to two smooth displacements, a mask, and what is behind it: B x C x h x w -> layers of the frame.

    The mask's logit is a linear function of the frame's colours, fitted to a decoded coarse mask where that is sure, or
    the coarse mask itself, by a decoded share; plus a decoded logit of each pixel. Each displacement is a decoded
    residual plus the softmax-weighted mean of zero and of the least-squares displacements, over all cells and over the
    layer's own as the mask without that logit has them; so a measured displacement passes through at any length.
    Behind the mask the lower layer shows the colours beside it, where the layers move apart by a pixel or more.
    """

    def __init__(self, channels: int, scale: int, rounds: int, ahead: tuple[float, ...]) -> None:
        """``ahead`` are logits outside training: of each window's displacement, and at last of one of zero."""
        super().__init__()
        self.scale, self.outputs, self.rounds = scale, 2 + len(ahead), rounds
        rest = 3 + 3 + _TRUSTS + scale * scale
        self.conv = convolution(channels, 2 * self.outputs + rest, 3)
        layer = torch.tensor((0.0, 0.0, *ahead))
        outputs = torch.cat((layer, layer, torch.zeros(rest))).reshape(1, -1, 1, 1)
        self.register_buffer("ahead", outputs, persistent=False)

    def forward(
        self, cells: Tensor, flow: Tensor, centred: Tensor, own: OwnCells, part: Tensor | None = None
    ) -> FrameLayers:
        """The output of `RealtimeNetwork.decode`.

        Args:
            cells: B x C x h x w.
            flow: B x W x 2 x h x w, displacements in cells as `LeastSquaresFlow.solve` gives them.
            centred: the frame less 0.5, of whole cells: B x 3 x (h scale) x (w scale).
            own: measures layers over their own cells.
            part: of the displacements, that is to be drawn: B x 1 x 1 x 1 or B x 1 x h x w; None: all.
        """
        parts = [self.outputs, self.outputs, 3, 3, _TRUSTS, self.scale**2]
        outputs = self.conv(cells)  # (B, N, h, w)
        if part is not None:
            outputs = outputs + self.ahead
        *layers, background, coarse, trust, sharp = torch.split(outputs, parts, dim=1)  # (B, part, h, w) each
        slope, level, upper, lower = self._measured(layers, coarse, trust, flow, centred, own, part is None)
        if part is not None:
            upper, lower = part * upper, part * lower
            slope, level, sharp = _decided(part, slope, level, sharp)
        # Small windows know a thin part's displacement where it is, not where it is to be drawn.
        upper = turned_whole(upper)
        upper = warp(upper, upper)
        # Decoded in cells, so that all outputs of the convolution are of the order of one.
        upper, lower = self.scale * upper, self.scale * lower  # (B, 2, h, w) each, in px
        # Where both layers move alike nothing is uncovered: whole and still pictures stay as sharp as they are.
        uncovers = (upper - lower).square().sum(dim=1, keepdim=True).clamp(max=1.0)  # (B, 1, h, w)
        by_colour = (self._between(_STEEP * slope) * centred).sum(dim=1, keepdim=True)  # (B, 1, H, W)
        mask = by_colour + self._between(_STEEP * (level - 0.5)) + F.pixel_shuffle(4.0 * sharp, self.scale)
        mask = mask.sigmoid()  # (B, 1, H, W)
        behind = self._between(beside(centred, mask, background))  # (B, 3, H, W)
        filled = self._between(uncovers) * mask * (behind - centred)
        return FrameLayers(self._between(upper), self._between(lower), mask, filled)

    def _measured(
        self,
        layers: Sequence[Tensor],
        coarse: Tensor,
        trust: Tensor,
        flow: Tensor,
        centred: Tensor,
        own: OwnCells,
        learns: bool,
    ) -> tuple[Tensor, ...]:
        """Mask (slope and level, as `_mask`) and displacements of the layers, each by the other in turn."""
        rounds, trust = (1, F.softplus(trust)) if learns else (self.rounds, _TRUST * F.softplus(trust))
        told, more = None, torch.zeros_like(coarse)  # (B, 3, h, w)
        for _ in range(rounds):
            told = own.told_apart(_shares((coarse + more)[:, :1].sigmoid()), told)
            more = _more(trust, told.evidence)
        if told is not None and not learns:
            more = _more(trust, own.out_of_place(_shares((coarse + more)[:, :1].sigmoid()), told))
        colours = F.avg_pool2d(centred, self.scale)  # (B, 3, h, w)
        slope, level = _mask(coarse + more, colours, _MASK_CELLS_LEARNED if learns else _MASK_CELLS)
        share = (
            _STEEP * ((slope * colours).sum(dim=1, keepdim=True) + level - 0.5)
        ).sigmoid()  # (B, 1, h, w)
        measured_px = own.measured(_shares(share), told)  # (B, 2, W, 2, h, w)
        measured = map(own.in_cells, measured_px.unbind(1))  # (B, W, 2, h, w) each
        counts = (
            (None, None) if learns else own.unmixed(measured_px, _shares(share)).unbind(1)
        )  # (B, W, h, w) each
        upper, lower = map(self._displacement, layers, (flow, flow), measured, counts)  # (B, 2, h, w) each
        return slope, level, upper, lower

    def _between(self, cells: Tensor) -> Tensor:
        """Cells to pixels, bilinear: straight lines stay straight."""
        return F.interpolate(cells, scale_factor=float(self.scale), mode="bilinear")

    @staticmethod
    def _displacement(decoded: Tensor, flow: Tensor, own: Tensor, counts: Tensor | None) -> Tensor:
        """A layer's displacement in cells: B x 2 x h x w.

        Residual and logits B x (2 + V + W + 1) x h x w; flow B x V x 2 x h x w; measured on its own B x W x 2 x h x w,
        which may count less, B x W x h x w.
        """
        residual, logits = torch.split(decoded, [2, decoded.shape[1] - 2], dim=1)  # the last is that of zero
        # A softmax written out: ONNX Runtime turns a tensor over to compute one over its channels.
        weights = (logits - logits.detach().amax(dim=1, keepdim=True)).exp()  # (B, V + W + 1, h, w)
        of_all, of_own, of_zero = torch.split(weights, [flow.shape[1], own.shape[1], 1], dim=1)
        if counts is not None:
            of_own = of_own * counts
        summed = (of_all.unsqueeze(2) * flow).sum(dim=1) + (of_own.unsqueeze(2) * own).sum(
            dim=1
        )  # (B, 2, h, w)
        together = of_all.sum(dim=1, keepdim=True) + of_own.sum(dim=1, keepdim=True) + of_zero
        return residual + summed / together


def _shares(upper: Tensor) -> Tensor:
    """Shares of both layers by that of the upper: B x 1 x h x w -> B x 2 x h x w."""
    return torch.cat((upper, 1.0 - upper), dim=1)


def _mask(coarse: Tensor, colours: Tensor, windows: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A rough mask as a linear function of the colours: its slope B x 3 x h x w and level B x 1 x h x w.

    By logits B x 3 x h x w of what is covered, of how sure that is, and of how far colours tell.
    """
    likely, sure, followed = torch.split(coarse.sigmoid(), [1, 1, 1], dim=1)  # (B, 1, h, w) each
    slope, level = follow_colours(likely, sure, colours, windows)
    return followed * slope, followed * level + (1.0 - followed) * likely


def _more(trust: Tensor, evidence: Tensor) -> Tensor:
    """Addition to the logits of a rough mask by evidence, and by a decoded trust in it: B x 3 x h x w."""
    of_mask, of_sure = torch.split(trust, 2 * [len(EVIDENCE_CELLS)], dim=1)  # (B, 3, h, w) each
    likely = (of_mask * evidence).sum(dim=1, keepdim=True)  # (B, 1, h, w)
    sure = (of_sure * evidence.abs()).sum(dim=1, keepdim=True)
    return torch.cat((likely, sure, torch.zeros_like(sure)), dim=1)


_MASK_CELLS, _MASK_CELLS_LEARNED = (5, 7), (9,)
"""Odd sides of cascaded windows in which a mask follows colours, outside training and in it."""
_TRUSTS = 2 * len(EVIDENCE_CELLS)
"""Decoded trusts in evidence, for the mask and for how sure it is."""
_TRUST = 8.0
"""Trust in evidence outside training, of that which is learned; it is so in a mask that can do without."""


def _decided(part: Tensor, slope: Tensor, level: Tensor, sharp: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A mask's slope, level and logits, steeper than they were learned, and the more the less is drawn of the motion.

    Learned from its mean error, a mask in doubt stands between, and shows both layers; where a part of the motion is
    drawn, it moves a picture by a part of that. Far from what moves both layers stand still.
    """
    certain = 5.5 - 4.0 * part
    return certain * slope, certain * (level - 0.5 + 0.125 * (1.0 - part)) + 0.5, certain * sharp


_STEEP = 8.0
"""Slope of the logit of a mask by the rough one in [0, 1]."""
