"""Two layers of a frame, each moved by a smooth displacement: their head, and what they draw."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tremorscope.model.networks.affine import turned_whole
from tremorscope.model.networks.blocks import convolution
from tremorscope.model.networks.flow import warp
from tremorscope.model.networks.guide import beside, follow_colours
from tremorscope.model.networks.own_cells import EVIDENCE_CELLS, OwnCells


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
    return lower + shown * (upper[:, :3] - lower), lower_px + shown * (upper_px - lower_px)


class LayersHead(nn.Module):
    """Cells to two smooth displacements, a mask, and what is behind it: B x C x h x w -> B x 8 x H x W.

    The mask's logit is a linear function of the frame's colours, fitted to a decoded coarse mask where that is sure, or
    the coarse mask itself, by a decoded share; plus a decoded logit of each pixel. Each displacement is a decoded
    residual plus the softmax-weighted mean of zero and of the least-squares displacements, over all cells and over the
    layer's own as the mask without that logit has them; so a measured displacement passes through at any length.
    Behind the mask the lower layer shows the colours beside it, where the layers move apart by a pixel or more.
    """

    def __init__(self, channels: int, scale: int, rounds: int, ahead: tuple[float, ...]) -> None:
        """``ahead`` are logits outside training: of each window's displacement, and at last of one of zero."""
        super().__init__()
        self.scale, self.windows, self.rounds = scale, len(ahead) - 1, rounds
        rest = 3 + 3 + _TRUSTS + scale * scale
        self.conv = convolution(channels, 2 * (2 + len(ahead)) + rest, 3)
        layer = torch.tensor((0.0, 0.0, *ahead))
        outputs = torch.cat((layer, layer, torch.zeros(rest))).reshape(1, -1, 1, 1)
        self.register_buffer("ahead", outputs, persistent=False)

    def forward(
        self, cells: Tensor, flow: Tensor, centred: Tensor, own: OwnCells, part: Tensor | None = None
    ) -> Tensor:
        """The output of `RealtimeNetwork.decode`.

        Args:
            cells: B x C x h x w.
            flow: B x 3 W x h x w, as `LeastSquaresFlow.solve` gives it.
            centred: the frame less 0.5, of whole cells: B x 3 x (h scale) x (w scale).
            own: measures layers over their own cells.
            part: of the displacements, that is to be drawn: B x 1 x 1 x 1 or B x 1 x h x w; None: all.
        """
        each = 2 + self.windows + 1
        parts = [each, each, 3, 3, _TRUSTS, self.scale**2]
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
        both = self.scale * torch.cat((upper, lower), dim=1)  # (B, 4, h, w)
        smooth = self._between(torch.cat((both, slope, level), dim=1))  # (B, 8, H, W)
        moved, slope, level = torch.split(smooth, [4, 3, 1], dim=1)
        by_colour = _steep((slope * centred).sum(dim=1, keepdim=True) + level)  # (B, 1, H, W)
        mask = (by_colour + 4.0 * F.pixel_shuffle(sharp, self.scale)).sigmoid()
        behind = self._between(beside(centred, mask, background))  # (B, 3, H, W)
        # Where both layers move alike nothing is uncovered: whole and still pictures stay as sharp as they are.
        apart_px = moved[:, :2] - moved[:, 2:]  # (B, 2, H, W)
        uncovers = apart_px.square().sum(dim=1, keepdim=True).clamp(max=1.0)  # (B, 1, H, W)
        return torch.cat((moved, mask, uncovers * mask * (behind - centred)), dim=1)

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
        likely, left, told = coarse[:, :1], None, torch.zeros_like(coarse)
        for _ in range(rounds):
            left, evidence = own.told_apart(_shares((likely + told[:, :1]).sigmoid()), left)
            told = _told(trust, evidence)  # (B, 3, h, w)
        if left is not None and not learns:
            told = _told(trust, own.out_of_place(_shares((likely + told[:, :1]).sigmoid()), left))
        colours = F.avg_pool2d(centred, self.scale)  # (B, 3, h, w)
        slope, level = _mask(coarse + told, colours, _MASK_CELLS_LEARNED if learns else _MASK_CELLS)
        share = _steep((slope * colours).sum(dim=1, keepdim=True) + level).sigmoid()  # (B, 1, h, w)
        measured = own.measured(_shares(share), left)  # (B, 2, W, 2, h, w)
        if not learns:
            doubts = own.in_doubt(measured, _shares(share)).unbind(1)  # (B, W, h, w) each
            layers = list(map(_doubted, layers, doubts))
        upper, lower = map(self._displacement, layers, (flow, flow), measured.unbind(1))  # (B, 2, h, w) each
        return slope, level, upper, lower

    def _between(self, cells: Tensor) -> Tensor:
        """Cells to pixels, bilinear: straight lines stay straight."""
        return F.interpolate(cells, scale_factor=float(self.scale), mode="bilinear")

    def _displacement(self, decoded: Tensor, flow: Tensor, own: Tensor) -> Tensor:
        """A layer's displacement in cells: B x 2 x h x w.

        Residual and weights B x (2 + W + 1) x h x w; flow B x 3 V x h x w; measured on its own B x (W - V) x 2 x h x w.
        """
        measured = torch.stack((flow[:, 0::3], flow[:, 1::3]), dim=2)  # (B, V, 2, h, w)
        measured = torch.cat((measured, own), dim=1)  # (B, W, 2, h, w)
        logits = decoded[:, 2:]  # (B, W + 1, h, w); the last is that of zero
        # A softmax written out: ONNX Runtime turns a tensor over to compute one over its channels.
        weights = (logits - logits.detach().amax(dim=1, keepdim=True)).exp()
        summed = (weights[:, : self.windows].unsqueeze(2) * measured).sum(dim=1)  # (B, 2, h, w)
        mean: Tensor = summed / weights.sum(dim=1, keepdim=True)
        return decoded[:, :2] + mean


def _shares(upper: Tensor) -> Tensor:
    """Shares of both layers by that of the upper: B x 1 x h x w -> B x 2 x h x w."""
    return torch.cat((upper, 1.0 - upper), dim=1)


def _doubted(decoded: Tensor, doubts: Tensor) -> Tensor:
    """Residual and logits of a layer, B x (2 + V + W + 1) x h x w, with doubts in its own windows, B x W x h x w."""
    own = doubts.shape[1]
    others, logits, zero = torch.split(decoded, [decoded.shape[1] - own - 1, own, 1], dim=1)
    return torch.cat((others, logits + doubts, zero), dim=1)


def _mask(coarse: Tensor, colours: Tensor, windows: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """A rough mask as a linear function of the colours: its slope B x 3 x h x w and level B x 1 x h x w.

    By logits B x 3 x h x w of what is covered, of how sure that is, and of how far colours tell.
    """
    likely, sure, followed = torch.split(coarse.sigmoid(), [1, 1, 1], dim=1)  # (B, 1, h, w) each
    slope, level = follow_colours(likely, sure, colours, windows)
    return followed * slope, followed * level + (1.0 - followed) * likely


def _told(trust: Tensor, evidence: Tensor) -> Tensor:
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


def _steep(share: Tensor) -> Tensor:
    """Logit of a mask from a rough one in [0, 1]."""
    return 8.0 * (share - 0.5)
