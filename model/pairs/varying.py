"""Layers of a training pair whose displacement varies linearly over them: they turn, grow and shear as they move."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tremorscope.model.pairs.randomness import uniform
from tremorscope.model.pairs.settings import PairSettings

_VARIES_MAX_PX = 10.0
"""Largest change of the magnified displacement from a layer's centre to half a patch beside it."""


def from_middle(side_px: int, device: torch.device) -> Tensor:
    """Places of a row's pixels from its middle, in px: (side,)."""
    return torch.arange(side_px, device=device) - (side_px - 1) / 2


@dataclass(frozen=True)
class Varying:
    """Gradient of each foreground layer's displacement: content of place q moves by  shift + gradient (q - centre)."""

    gradient: Tensor  # (B, L, 2, 2), of the magnified displacement, px a px; zero in layers that move rigidly
    centre_px: Tensor  # (B, L, 2)

    @staticmethod
    def draw(
        rng: torch.Generator,
        settings: PairSettings,
        motion: Tensor,
        rigid: Tensor,
        centre_px: Tensor,
        difficulty: float = 1.0,
    ) -> Varying:
        """Draw which layers turn, grow and shear, and by how much.

        Args:
            rng: of the draws, made on the CPU.
            settings: `PairSettings.varying_share` of the layers that may, do.
            motion: magnified displacement of each foreground layer, B x L x 2 px.
            rigid: those that may not, B x L.
            centre_px: of each layer, B x L x 2; the result is on its device.
            difficulty: 0 to 1, scales the limit, as for the motion.
        """
        shape = motion.shape[:2]
        chosen = (torch.rand(shape, generator=rng) < settings.varying_share) & ~rigid & motion.any(dim=-1)
        turns, grows, shears, stretches = uniform(rng, (*shape, 4), -1.0, 1.0).unbind(-1)
        rows = (
            torch.stack((grows + stretches, shears - turns)),
            torch.stack((shears + turns, grows - stretches)),
        )
        kind = torch.stack(rows).permute(2, 3, 0, 1)  # (B, L, 2, 2)
        kind = kind / torch.linalg.matrix_norm(kind, 2).clamp(min=1e-3)[..., None, None]
        most_px = difficulty * min(settings.magnified_motion_max_px, _VARIES_MAX_PX)
        varies = most_px * torch.rand(shape, generator=rng) / (settings.patch_px / 2)  # (B, L), px a px
        gradient = kind * torch.where(chosen, varies, 0.0)[..., None, None]
        return Varying(gradient.to(centre_px.device), centre_px)

    @property
    def chosen(self) -> Tensor:
        """The layers whose displacement varies: bool, B x L."""
        return self.gradient.flatten(2).any(dim=-1)

    def most_px(self, reach_px: float) -> Tensor:
        """Largest change of the displacement within a distance of the centre: B x L px."""
        further: Tensor = reach_px * torch.linalg.matrix_norm(self.gradient, 2)
        return further

    def to_rest(self, share: Tensor) -> Tensor:
        """Matrix of  q - centre = matrix (place - moved centre),  at a share (B) of the motion: B x L x 2 x 2."""
        moved = torch.eye(2, device=share.device) + share[:, None, None, None] * self.gradient
        matrix: Tensor = torch.linalg.inv(moved)
        return matrix

    def change_px(self, shift_px: Tensor, side_px: int) -> Tensor:
        """Change of the magnified displacement over a patch, by the place it has led to: B x L x 2 x P x P."""
        axis = from_middle(side_px, shift_px.device)
        places = torch.stack(torch.meshgrid(axis, axis, indexing="xy"))  # (2, P, P), x and y
        beside = places - (self.centre_px + shift_px)[..., None, None]  # (B, L, 2, P, P)
        matrix = self.gradient @ self.to_rest(torch.ones(len(shift_px), device=shift_px.device))
        change: Tensor = torch.einsum("blij,bljpq->blipq", matrix, beside)
        return change
