"""Outlines of thin parts in training pairs: bars, cables, railings, trusses, lattices; functions of coordinates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tremorscope.model.pairs.randomness import log_uniform, uniform
from tremorscope.model.pairs.settings import PairSettings


@dataclass(frozen=True)
class Lattices:
    """One or two families of parallel bars of one width, straight or sagging, cut off at their ends; B x L each."""

    chosen: Tensor  # bool: the layers that are such parts
    bent: Tensor  # bool: those whose motion varies across its direction, as a mode shape does
    centre_px: Tensor  # B x L x 2
    angle: Tensor
    half_width_px: Tensor
    pitch_px: Tensor  # infinite where there is one bar
    second_angle: Tensor  # of the second family, to the first; 0 where there is none
    half_length_px: Tensor
    half_breadth_px: Tensor
    sag_per_px: Tensor
    softness_px: Tensor
    mode_px: Tensor  # half a wavelength of the mode shape
    mode_phase: Tensor

    @staticmethod
    def draw(rng: torch.Generator, settings: PairSettings, batch: int, layers: int) -> Lattices:
        """Draw a lattice for every foreground layer, and choose the layers that are lattices."""
        shape, side = (batch, layers), settings.patch_px

        def chance(share: float) -> Tensor:
            return torch.rand(shape, generator=rng) < share

        def somewhere(low: float, high: float) -> Tensor:
            return uniform(rng, shape, low, high)

        chosen = chance(settings.structure_share)
        width_px = log_uniform(rng, shape, 1.2, 14.0)
        single, second = chance(0.35), chance(0.5)
        infinite = torch.full(shape, 1e6)
        return Lattices(
            chosen=chosen,
            bent=chosen & chance(settings.bent_share),
            centre_px=uniform(rng, (*shape, 2), -0.35, 0.35) * side,
            angle=somewhere(0.0, math.pi),
            half_width_px=width_px / 2,
            pitch_px=torch.where(single, infinite, width_px * somewhere(1.8, 5.0) + 5.0),
            second_angle=torch.where(second & ~single, math.pi / 2 + somewhere(-0.6, 0.6) * chance(0.5), 0.0),
            half_length_px=torch.where(chance(0.5), infinite, somewhere(0.15, 0.6) * side),
            half_breadth_px=torch.where(single | chance(0.5), infinite, somewhere(0.15, 0.5) * side),
            sag_per_px=torch.where(chance(0.7), 0.0, somewhere(-0.004, 0.004)),
            softness_px=log_uniform(rng, shape, 0.5, 1.6),
            mode_px=somewhere(1.0, 5.0) * side,
            mode_phase=somewhere(0.0, math.pi),
        )

    def to(self, device: torch.device) -> Lattices:
        """The same on another device."""
        return Lattices(**{name: tensor.to(device) for name, tensor in vars(self).items()})

    def mode(self, shift_px: Tensor, at: tuple[Tensor, Tensor]) -> Tensor:
        """Mode shape: the share of a shift (B x L x 2) at each place, B x L x P x P; 1 in layers that do not bend.

        It varies only across the shift's direction, so that the content at x came exactly from x - mode(x) shift.
        """
        length = shift_px.norm(dim=-1, keepdim=True).clamp(min=1e-12)  # (B, L, 1)
        x_along, y_along = _planes(shift_px / length)  # (B, L, 1, 1) each
        x, y = at  # (P,), (P, 1)
        phase = math.pi * (y * x_along - x * y_along) / self.mode_px[..., None, None]
        shape = torch.sin(phase + self.mode_phase[..., None, None])  # (B, L, P, P)
        return torch.where(self.bent[..., None, None], shape, torch.ones_like(shape))

    def coverage(self, x: Tensor, y: Tensor) -> Tensor:
        """Coverage in [0, 1] at unmoved coordinates from the patch's middle: B x L x P x P, or broadcast to it."""
        x_middle, y_middle = _planes(self.centre_px)  # (B, L, 1, 1) each
        u, v = _turned(x - x_middle, y - y_middle, self.angle)  # (B, L, P, P) each
        v = v + self.sag_per_px[..., None, None] * u * u
        first = self._family(v)  # (B, L, P, P)
        _, w = _turned(u, v, self.second_angle)
        second = torch.where(self.second_angle[..., None, None] == 0.0, 0.0, self._family(w))
        ends = self._within(self.half_length_px, u.abs()) * self._within(self.half_breadth_px, v.abs())
        return ends * (1.0 - (1.0 - first) * (1.0 - second))

    def _family(self, v: Tensor) -> Tensor:
        pitch_px = self.pitch_px[..., None, None]  # (B, L, 1, 1)
        distance = (torch.remainder(v + pitch_px / 2, pitch_px) - pitch_px / 2).abs()
        return self._within(self.half_width_px, distance)

    def _within(self, half_px: Tensor, distance_px: Tensor) -> Tensor:
        softness = 0.5 * self.softness_px[..., None, None]
        return torch.sigmoid((half_px[..., None, None] - distance_px) / softness)


def _planes(pair: Tensor) -> Sequence[Tensor]:
    """B x L x 2 -> two of B x L x 1 x 1."""
    return pair[..., 0, None, None], pair[..., 1, None, None]


def _turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = angle.cos()[..., None, None], angle.sin()[..., None, None]  # (B, L, 1, 1) each
    return x * cos + y * sin, y * cos - x * sin
