"""The truth of a training pair as two layers: moving foreground, and background with its hidden part."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MOVES_FROM_PX = 0.5
"""Smallest displacement against the background, added by magnification, that makes a layer foreground."""
_AROUND_PX = 12
_BEYOND = 0.3
"""Weight of the upper layer's displacement where it is not near. Moved like the background there, no mask does harm."""
_EDGE_GAIN = 2.5
"""Gain of the mask at edges, whose pixels in the frame are mixed with the background already."""


@dataclass(frozen=True)
class LayerTruth:
    """Exact inputs of `model.networks.layered.draw_layers`, for a frame without noise and rounding."""

    upper_px: Tensor
    """B x 2 x P x P: displacement (x, y) of the upper layer, magnified, and around it; else the background's."""
    upper_counts: Tensor
    """B x 1 x P x P: weight of ``upper_px``: 1 where the upper layer is near, less elsewhere."""
    lower_px: Tensor
    """B x 2 x P x P: displacement of the background."""
    mask: Tensor
    """B x 1 x P x P: share of each pixel of the frame that moves with the upper layer, edges included."""
    filled: Tensor
    """B x 3 x P x P: the background behind the upper layer, less the frame."""

    def to(self, device: torch.device) -> LayerTruth:
        """The same on another device."""
        return LayerTruth(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def overlay(layers: Tensor, coverage: Tensor) -> Tensor:
    """Composite layers B x L x C x P x P, bottom first, by coverage B x (L - 1) x 1 x P x P -> B x C x P x P."""
    result = layers[:, 0]  # (B, C, P, P)
    for layer in range(layers.shape[1] - 1):
        result = torch.lerp(result, layers[:, layer + 1], coverage[:, layer])
    return result


def around(where: Tensor, px: int) -> Tensor:
    """Maximum filter of radius ``px``: B x 1 x P x P -> the same."""
    rows = F.max_pool2d(where, (2 * px + 1, 1), 1, (px, 0))  # (B, 1, P, P)
    return F.max_pool2d(rows, (1, 2 * px + 1), 1, (0, px))


def layer_truth(
    painted: Tensor, in_frame: Tensor, magnified: Tensor, added_px: Tensor, most_px: Tensor
) -> LayerTruth:
    """Reduce the layers of a training scene to two: those that move, and the background.

    Args:
        painted: layers at their places in the frame, B x L x 3 x P x P.
        in_frame: coverage in the frame, B x (L - 1) x 1 x P x P.
        magnified: coverage in the magnified frame, B x (L - 1) x 1 x P x P.
        added_px: displacement that magnification adds to each layer, B x L x 2 x P x P.
        most_px: its largest value in each layer, where a bending layer moves most, B x L x 2.
    """
    moves = ((most_px[:, 1:] - most_px[:, :1]).norm(dim=-1) > _MOVES_FROM_PX).to(painted.dtype)  # (B, L - 1)
    moves = moves[..., None, None, None]  # (B, L - 1, 1, 1, 1)
    flags = torch.cat((torch.zeros_like(moves[:, :1]), moves), dim=1)  # (B, L, 1, 1, 1)
    flags = flags.expand(-1, -1, 1, *painted.shape[3:])  # (B, L, 1, P, P)
    behind = overlay(painted, in_frame * (1.0 - moves))  # (B, 3, P, P)
    # The displacement counts around a layer, too: the warp fetches the mask by the displacement outside of it.
    either = torch.maximum(in_frame, magnified) * moves  # (B, L - 1, 1, P, P)
    near = torch.stack([around(each, _AROUND_PX) for each in either.unbind(1)], dim=1)  # (B, L - 1, 1, P, P)
    upper = torch.cat((added_px, added_px[:, 1:]), dim=1)
    return LayerTruth(
        upper_px=overlay(upper, torch.cat(((near > 0.5).to(near.dtype), magnified * moves), dim=1)),
        upper_counts=(near.amax(dim=1) > 0.5).to(near.dtype).clamp(min=_BEYOND),
        lower_px=added_px[:, 0],
        mask=(_EDGE_GAIN * overlay(flags, in_frame)).clamp(max=1.0),
        filled=behind - overlay(painted, in_frame),
    )
