"""What training minimises."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from model.networks import Network
from model.pairs import Pairs


def magnification_loss(magnified: Tensor, truth: Tensor, border_px: int) -> Tensor:
    """Mean absolute error inside the border; B x 3 x P x P in [0, 1] -> scalar."""
    inner = slice(border_px, -border_px or None)
    return F.l1_loss(magnified[..., inner, inner], truth[..., inner, inner])


def displacement_loss(decoded: Tensor, truth_px: Tensor, border_px: int) -> Tensor:
    """Mean absolute error in px, inside the border, of a displacement field that the decoder gave: a scalar.

    Args:
        decoded: B x 5 x P x P, as `RealtimeNetwork.decode` gives it where its skip is warped.
        truth_px: B x 2 x P x P.
        border_px: not judged.
    """
    inner = slice(border_px, -border_px or None)
    return F.l1_loss(decoded[:, :2, inner, inner], truth_px[..., inner, inner])


def consistency_loss(network: Network, pairs: Pairs) -> Tensor:
    """Texture must not change with motion, nor shape with colour: a scalar.

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
