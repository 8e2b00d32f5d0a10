"""Training losses: picture, displacement, layers, consistency of the representations."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.networks.families import Network
from tremorscope.model.networks.layered import FrameLayers
from tremorscope.model.pairs.layer_truth import LayerTruth, around
from tremorscope.model.pairs.pairs import Pairs

_EDGE_AROUND_PX = 6
_EDGE_PX = 0.5
_INSIDE_FROM_PX = 6
_INSIDE_MORE = 3.0
"""Additional weight of the mask inside large parts. Where these have little texture nothing tells that they move, and a
mask of a half shows both layers; a mask that is too large there does less harm than one that is too small."""


def magnification_loss(
    magnified: Tensor, truth: Tensor, border_px: int, weight: Tensor | None = None
) -> Tensor:
    """Mean absolute error inside the border; B x 3 x P x P in [0, 1], and weights B x 1 x P x P -> scalar."""
    return _mean_error(magnified, truth, border_px, weight)


def displacement_loss(
    added_px: Tensor, truth_px: Tensor, border_px: int, weight: Tensor | None = None
) -> Tensor:
    """Mean absolute error in px, inside the border, of the displacement added by a network: a scalar.

    Args:
        added_px: B x 2 x P x P, as `RealtimeNetwork.draw_with_displacement` gives it.
        truth_px: B x 2 x P x P.
        border_px: width of the border that is left out.
        weight: B x 1 x P x P; None weighs all pixels alike.
    """
    return _mean_error(added_px, truth_px, border_px, weight)


def layer_losses(decoded: FrameLayers, truth: LayerTruth, border_px: int) -> tuple[Tensor, Tensor]:
    """Errors of the two layers inside the border: of their displacements in px, and of mask and hidden background.

    The losses of the picture and of its displacement do not separate the layers: a network trained by them alone uses
    one layer, and stretches the background over the area that it should uncover.

    Args:
        decoded: of the frames.
        truth: of the same pairs.
        border_px: width of the border that is left out.
    """
    inner = (..., slice(border_px, -border_px or None), slice(border_px, -border_px or None))
    upper_px, lower_px, mask, filled = (each[inner] for each in decoded)  # (B, each, p, p)
    counts, covered = truth.upper_counts[inner], truth.mask[inner]  # (B, 1, p, p) each
    upper = _weighted((upper_px - truth.upper_px[inner]).abs(), counts)
    lower = F.l1_loss(lower_px, truth.lower_px[inner])
    inside = 1.0 - around(1.0 - covered, _INSIDE_FROM_PX)  # (B, 1, p, p)
    masked = F.binary_cross_entropy(mask, covered, weight=1.0 + _INSIDE_MORE * inside)
    hidden = (filled - truth.filled[inner]).abs()  # (B, 3, p, p)
    # Pixels that nothing hides must not change: the rest of the picture counts as much as the hidden area.
    return upper + lower, masked + _weighted(hidden, covered) + hidden.mean()


def edge_weight(added_px: Tensor, more: float) -> Tensor | None:
    """Weights 1, and 1 + ``more`` within 6 px of a jump of the displacement: B x 2 x P x P -> B x 1 x P x P."""
    if not more:
        return None
    x = F.pad(added_px.diff(dim=3).abs().amax(dim=1, keepdim=True), (0, 1))  # (B, 1, P, P)
    y = F.pad(added_px.diff(dim=2).abs().amax(dim=1, keepdim=True), (0, 0, 0, 1))  # (B, 1, P, P)
    jumps = (torch.maximum(x, y) > _EDGE_PX).to(added_px.dtype)  # (B, 1, P, P)
    return 1.0 + more * around(jumps, _EDGE_AROUND_PX)


def _mean_error(found: Tensor, truth: Tensor, border_px: int, weight: Tensor | None) -> Tensor:
    inner = (..., slice(border_px, -border_px or None), slice(border_px, -border_px or None))
    if weight is None:
        return F.l1_loss(found[inner], truth[inner])
    return _weighted((found[inner] - truth[inner]).abs(), weight[inner])


def _weighted(error: Tensor, weight: Tensor) -> Tensor:
    """Mean over pictures of each picture's weighted mean: the same for parts of a batch as for the whole.

    B x C x P x P and B x 1 x P x P -> a scalar; 0 where all weights are 0.
    """
    each = (error.mean(dim=1, keepdim=True) * weight).sum(dim=(1, 2, 3))  # (B,)
    return (each / (weight.sum(dim=(1, 2, 3)) + 1.0)).mean()


def consistency_loss(network: Network, pairs: Pairs) -> Tensor:
    """Penalty on texture that changes with motion and on shape that changes with colour: a scalar.

    The three terms of Oh et al. (ECCV 2018), section 3.4: texture of the frame against that of the reference,
    texture of the recoloured frame against that of the recoloured truth, shape of the frame against that of the
    recoloured frame.
    """
    frame, reference = network.encode(pairs.frame), network.encode(pairs.reference)
    recoloured = network.encode(pairs.frame_recoloured)
    magnified_recoloured = network.encode(pairs.magnified_recoloured)
    return (
        F.l1_loss(frame.texture, reference.texture)
        + F.l1_loss(recoloured.texture, magnified_recoloured.texture)
        + F.l1_loss(frame.shape, recoloured.shape)
    )
