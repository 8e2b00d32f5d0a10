"""The truth of a training pair as two layers: what moves before its background, and what that hides."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

_MOVES_FROM_PX = 0.5
"""A layer that magnification moves by less against the background belongs to it."""
_AROUND_PX = 12
_BEYOND = 0.3
"""What the upper layer's displacement counts where there is none: as the background moves there, no mask does harm."""
_EDGE_GAIN = 2.5
"""An edge of the frame is mixed with its background already: mixed a second time it would be half as strong."""


@dataclass(frozen=True)
class LayerTruth:
    """What `model.networks.realtime.draw_layers` should be given, for a frame that neither noise nor rounding touched."""

    upper_px: Tensor
    """B x 2 x P x P: displacement (x, y) of what is on top where it is magnified and around, else the background's."""
    upper_counts: Tensor
    """B x 1 x P x P: 1 where something of the upper layer is near, less elsewhere."""
    lower_px: Tensor
    """B x 2 x P x P: displacement of the background."""
    mask: Tensor
    """B x 1 x P x P: how much of each pixel of the frame goes with the upper layer: its coverage, edges included."""
    filled: Tensor
    """B x 3 x P x P: the background behind the upper layer, less the frame."""

    def to(self, device: torch.device) -> LayerTruth:
        """The same on another device."""
        return LayerTruth(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def overlay(layers: Tensor, coverage: Tensor) -> Tensor:
    """B x L x C x P x P, each but the first over those before, by B x (L - 1) x 1 x P x P -> B x C x P x P."""
    result = layers[:, 0]
    for layer in range(layers.shape[1] - 1):
        result = torch.lerp(result, layers[:, layer + 1], coverage[:, layer])
    return result


def around(where: Tensor, px: int) -> Tensor:
    """The largest value within so many rows and columns: B x 1 x P x P -> the same."""
    rows = F.max_pool2d(where, (2 * px + 1, 1), 1, (px, 0))
    return F.max_pool2d(rows, (1, 2 * px + 1), 1, (0, px))


def layer_truth(
    painted: Tensor, in_frame: Tensor, magnified: Tensor, added_px: Tensor, most_px: Tensor
) -> LayerTruth:
    """The truth as two layers.

    Args:
        painted: layers as the frame has them, B x L x 3 x P x P.
        in_frame, magnified: coverage there, B x (L - 1) x 1 x P x P.
        added_px: by how much magnification moves each layer, B x L x 2 x P x P.
        most_px: B x L x 2, the same where a layer that bends moves most.
    """
    # B x (L - 1) x 1 x 1 x 1
    moves = ((most_px[:, 1:] - most_px[:, :1]).norm(dim=-1) > _MOVES_FROM_PX).to(painted.dtype)[
        ..., None, None, None
    ]
    flags = torch.cat((torch.zeros_like(moves[:, :1]), moves), dim=1).expand(-1, -1, 1, *painted.shape[3:])
    behind = overlay(painted, in_frame * (1.0 - moves))
    # Around a layer its displacement counts, too: a smooth one has to be there, where its mask is fetched from.
    either = torch.maximum(in_frame, magnified) * moves
    near = torch.stack([around(each, _AROUND_PX) for each in either.unbind(1)], dim=1)
    upper = torch.cat((added_px, added_px[:, 1:]), dim=1)
    return LayerTruth(
        upper_px=overlay(upper, torch.cat(((near > 0.5).to(near.dtype), magnified * moves), dim=1)),
        upper_counts=(near.amax(dim=1) > 0.5).to(near.dtype).clamp(min=_BEYOND),
        lower_px=added_px[:, 0],
        mask=(_EDGE_GAIN * overlay(flags, in_frame)).clamp(max=1.0),
        filled=behind - overlay(painted, in_frame),
    )
