"""Layers measured over the cells that are their own, and cells told apart by which layer's displacement explains them.

Each in turn, as expectation and maximisation in layered motion estimation (Jepson and Black, CVPR 1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from tremorscope.model.networks.flow import Equations, LeastSquaresFlow
from tremorscope.model.networks.windows import average

_LEAST_SHARE = 1e-4
"""Weight of a cell that a layer has nothing of, against 1 of one that is all its own."""
_RIM = 0.03
"""Weight of a cell at the rim of a layer, against 1 of one inside it, where cells are told apart."""
_SQUARED = 4
"""Times that the mean share around a cell is squared, to be near 1 inside alone."""
_NOISE = 24.0
"""Energy of a difference of two frames with noise of a grey level each, of that of rounding in one frame."""
_MUCH_NOISE = 1.0
"""Energy of noise, of that of `_NOISE`, by which evidence is halved."""
_NEAR_CELLS = 3
"""Side of the window of the displacement right around a cell."""
_NEAR_COUNTS = 1.1
"""Weight of what that leaves: it has more freedom than that of a wide window."""
_DOUBT_TIMES, _DOUBT_NOISE, _DOUBT_LEAST = 4.0, 0.3, 1e-3
"""A window that leaves more than so many times what the best does counts less; noise; least weight."""
_AROUND_CELLS = 25
"""Side of the window whose mean says how well a layer's cells are explained."""
EVIDENCE_CELLS = (1, 3, 3)
"""Odd sides of cascaded averaging windows over which the layers are compared."""


class Told(NamedTuple):
    """Cells told apart by their motion."""

    left: Tensor
    """Energy of each cell's motion that each layer leaves: B x L x h x w."""
    usual: Tensor
    """Energy that is usually left around each cell: B x 1 x h x w."""
    evidence: Tensor
    """1 where the first of two layers alone explains the motion of a cell, and of two windows around it, - 1 where the
    second does; 0 where both explain it alike, or noise decides: B x 3 x h x w."""


@dataclass(frozen=True)
class OwnCells:
    """Equations of a frame, and the windows over which its layers are measured (`LeastSquaresFlow.within`)."""

    flow: LeastSquaresFlow
    equations: Equations
    windows: tuple[int, ...]
    affine_windows: tuple[int, ...]

    def measured(self, shares: Tensor, told: Told | None = None) -> Tensor:
        """Displacement of each layer in px: B x L x W x 2 x h x w.

        A layer that has no share is measured as if it had all.

        Args:
            shares: of each cell that is the layer's, B x L x h x w in [0, 1].
            told: by the last displacement; cells that it leaves much of weigh less. Such are those at the rim of a
                part, where filters reach over it.
        """
        weights = self._weights(shares, told and told.left) + _LEAST_SHARE
        return self.flow.within(self.equations, weights, self.windows, self.affine_windows)

    def told_apart(self, shares: Tensor, told: Told | None = None) -> Told:
        """Cells told apart by shares, B x L x h x w in [0, 1], and by what they were told before.

        By displacements over the widest window, because a part is told from what is around it where both are seen.
        """
        inside = average(shares.detach(), 3)  # (B, L, h, w)
        for _ in range(_SQUARED):
            inside = inside.square()
        # Filters reach over a part's rim; a thin part has nothing else.
        weights = self._weights(shares, told and told.left) * (_RIM + inside) + _LEAST_SHARE
        left = self.left_by(self.flow.within(self._plain, weights, (), self.affine_windows[-1:])[:, :, 0])
        usual = _mean((weights * left).sum(dim=1, keepdim=True), weights.sum(dim=1, keepdim=True))
        return Told(left, usual, self._evidence(left, usual))

    def out_of_place(self, shares: Tensor, told: Told) -> Tensor:
        """Evidence as `told_apart` gives it, of cells that do harm in the first layer: for the mask that is drawn.

        What the displacement right around a cell explains may be a part of its own, such as a cable beside another one
        that moves. Both have a colour; to call one of them sure and the other wrong would tell colours nothing.
        By the shares that `told_apart` would be given next.
        """
        first, second = torch.split(told.left, [1, 1], dim=1)
        weights = self._weights(shares[:, :1], first) + _LEAST_SHARE
        near = self.left_by(self.flow.within(self._plain, weights, (_NEAR_CELLS,))[:, 0])  # (B, 1, h, w)
        return self._evidence(
            torch.cat((torch.minimum(first, _NEAR_COUNTS * near), second), dim=1), told.usual
        )

    def _evidence(self, left: Tensor, usual: Tensor) -> Tensor:
        found, around = [], left
        for window in EVIDENCE_CELLS:
            around = average(around, window)
            found.append(
                (around[:, 1:] - around[:, :1]) / (around.sum(dim=1, keepdim=True) + 2.0 * self._noise)
            )
        # Under more noise two layers have displacements of their own because their cells were chosen so.
        return torch.cat(found, dim=1) / (1.0 + usual / (_MUCH_NOISE * self._noise))

    def in_cells(self, measured_px: Tensor) -> Tensor:
        """Displacements that `measured` gave for a layer, B x W x 2 x h x w, times the gain in cells."""
        return self.flow.in_cells(measured_px, self.equations.gain.detach())

    def unmixed(self, measured_px: Tensor, shares: Tensor) -> Tensor:
        """Part, up to 1, for which each window's displacement of each layer counts: B x L x W x h x w.

        Large windows average more noise away. Where one leaves several times what another leaves, it holds parts that
        move differently. Displacements are those that `measured` gave for the shares.
        """
        windows = measured_px.shape[2]
        weights = shares.detach().square() + _DOUBT_LEAST  # (B, L, h, w)
        left = self.left_by(measured_px.flatten(1, 2)) * weights.repeat_interleave(
            windows, dim=1
        )  # (B, L W, h, w)
        left = torch.unflatten(average(left, _NEAR_CELLS), 1, (-1, windows))  # (B, L, W, h, w)
        left = left / average(weights, _NEAR_CELLS).unsqueeze(2) + _DOUBT_NOISE * self._noise
        counts = (_DOUBT_TIMES * left.amin(dim=2, keepdim=True) / left).clamp(max=1.0)
        return counts.square().square()

    def left_by(self, displacements_px: Tensor) -> Tensor:
        """Energy of each cell's motion that displacements leave unexplained: B x L x 2 x h x w -> B x L x h x w."""
        xx, xy, yy, xm, ym, mm = torch.split(self._plain.products, 6 * [1], dim=1)  # (B, 1, h, w) each
        x, y = displacements_px[:, :, 0], displacements_px[:, :, 1]  # (B, L, h, w) each
        left: Tensor = mm + x * (x * xx + 2.0 * y * xy + 2.0 * xm) + y * (y * yy + 2.0 * ym)
        return left.clamp(min=0.0)

    def _weights(self, shares: Tensor, left: Tensor | None) -> Tensor:
        weights = shares.detach().square()
        if left is not None:
            usual = _mean(weights * left, weights) + self._noise  # (B, L, h, w)
            weights = weights * (usual / (usual + left)).square()
        return weights

    @cached_property
    def _plain(self) -> Equations:
        """Equations without the curvature, by which cells are told apart."""
        return self.equations._replace(products=self.equations.products[:, :6].detach())

    @property
    def _noise(self) -> Tensor:
        return _NOISE * self.equations.flat.detach()


def _mean(weighted: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean in a window of `_AROUND_CELLS`."""
    return average(weighted, _AROUND_CELLS) / average(weights, _AROUND_CELLS).clamp(min=1e-9)
