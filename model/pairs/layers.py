"""Moving layers of a training pair: textures with soft outlines, exact at every sub-pixel position.

A picture is the continuous function  f(x) = sum_j picture[j] k(x - j)  with a fixed band-limiting kernel k, sampled
where the layer has moved to; outlines are analytic functions of the moved coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tremorscope.model.pairs.lattices import Lattices
from tremorscope.model.pairs.randomness import log_uniform, uniform
from tremorscope.model.pairs.settings import KERNEL_HALF_WIDTH, MAX_ZOOM_OUT, PairSettings


@dataclass(frozen=True)
class Textures:
    """Texture of each layer: a window of a picture, sampled at moved coordinates."""

    windows: Tensor  # (B, L, 3, W, W), float
    contrast: Tensor  # (B, L, 1, 1, 1)
    brightness: Tensor  # (B, L, 1 or 3, 1, 1), added after the contrast
    zoom_out: Tensor  # (B, L), source px per output px
    blur: Tensor  # (B, L), widening of the kernel, at least 1
    patch_px: int

    @staticmethod
    def draw(
        rng: torch.Generator,
        pictures: Sequence[Tensor],
        settings: PairSettings,
        batch: int,
        layers: int,
        device: torch.device,
        lattices: Lattices | None = None,
    ) -> Textures:
        """Cut a window of a random picture for every layer, with random flips, contrast, brightness and blur.

        Layers above the first that are ``lattices`` have little texture, and none where they bend.
        """
        side = settings.window_px
        windows = torch.stack([_cut_window(rng, pictures, side) for _ in range(batch * layers)])
        windows = windows.to(device).float().reshape(batch, layers, 3, side, side) / 255.0
        shape = (batch, layers)
        low = torch.rand(shape, generator=rng) < settings.low_contrast_share
        contrast = torch.where(low, log_uniform(rng, shape, 0.03, 0.4), uniform(rng, shape, 0.6, 1.2))
        contrast = contrast.to(device)[..., None, None, None]
        shift = uniform(rng, shape, -0.15, 0.15).to(device)[..., None, None, None]
        brightness = shift + (1.0 - contrast) * windows.mean(dim=(2, 3, 4), keepdim=True)
        if lattices is not None:
            contrast, brightness = _painted(rng, lattices, windows, contrast, brightness)
        blurred = torch.rand(shape, generator=rng) < settings.blurred_share
        blur = torch.where(blurred, uniform(rng, shape, 1.0, 4.0), torch.ones(shape))
        zoom_out = uniform(rng, shape, 1.0, MAX_ZOOM_OUT)
        return Textures(
            windows, contrast, brightness, zoom_out.to(device), blur.to(device), settings.patch_px
        )

    def render(self, shift_px: Tensor) -> Tensor:
        """Layers moved by B x L x 2 (x, y) px -> B x L x 3 x P x P."""
        rows = self._sampling_matrix(shift_px[..., 1])  # (B, L, P, W)
        columns = self._sampling_matrix(shift_px[..., 0])  # (B, L, P, W)
        # Contrast and brightness come after sampling: the windows are much larger than the patch.
        shown = torch.einsum("blpw,blcwv,blqv->blcpq", rows, self.windows, columns)  # (B, L, 3, P, P)
        return torch.addcmul(self.brightness, shown, self.contrast)

    def _sampling_matrix(self, shift_px: Tensor) -> Tensor:
        side = self.windows.shape[-1]
        output, source = (_from_middle(each, shift_px.device) for each in (self.patch_px, side))
        # Moved right by s, output x shows source x - s.
        position = (output - shift_px[..., None]) * self.zoom_out[..., None]  # (B, L, P)
        width = (self.zoom_out * self.blur)[..., None, None]  # (B, L, 1, 1)
        half_width = (KERNEL_HALF_WIDTH / self.blur)[..., None, None]
        # Only where the kernel is not zero: a tenth of the window.
        taps = torch.arange(_TAPS, device=shift_px.device)
        first = (position + (side - 1) / 2 - (_TAPS - 2) / 2).ceil().clamp(0, side - _TAPS)
        at = first.long()[..., None] + taps  # B x L x P x T
        weights = band_limited_kernel((position[..., None] - source[at]) / width, half_width)
        # One constant a layer, the same for every shift: dividing each row by its own sum would bend the motion.
        weights = weights / band_limited_kernel(source / width, half_width).sum(-1, keepdim=True)
        return weights.new_zeros(*position.shape, side).scatter_(-1, at, weights)


def _from_middle(side_px: int, device: torch.device) -> Tensor:
    """Places of a row's pixels from its middle, in px: (side,)."""
    return torch.arange(side_px, device=device) - (side_px - 1) / 2


_TAPS = 2 * math.ceil(KERNEL_HALF_WIDTH * MAX_ZOOM_OUT) + 2


def band_limited_kernel(x: Tensor, half_width: Tensor | float = KERNEL_HALF_WIDTH) -> Tensor:
    """Blackman-windowed sinc with unit spacing, zero beyond the half width. Any shape, the same shape back."""
    phase = math.pi * (x / half_width).clamp(-1.0, 1.0)  # the window is zero at its ends
    cos = phase.cos()
    window = 0.34 + 0.5 * cos + 0.16 * cos.square()  # 0.42 + 0.5 cos + 0.08 cos(2 phase)
    return torch.sinc(x) * window


def _cut_window(rng: torch.Generator, pictures: Sequence[Tensor], side: int) -> Tensor:
    def below(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=rng))

    picture = pictures[below(len(pictures))]
    top, left = below(picture.shape[1] - side + 1), below(picture.shape[2] - side + 1)
    window = picture[:, top : top + side, left : left + side]
    if below(2):
        window = window.flip(1)
    if below(2):
        window = window.flip(2)
    return window.transpose(1, 2) if below(2) else window


def _painted(
    rng: torch.Generator, lattices: Lattices, windows: Tensor, contrast: Tensor, brightness: Tensor
) -> tuple[Tensor, Tensor]:
    """Contrast and brightness of all layers; lattices get nearly one colour."""
    batch, layers = windows.shape[:2]
    shape = (batch, layers - 1, 1, 1, 1)
    faint = torch.where(lattices.bent[..., None, None, None], 0.0, uniform(rng, shape, 0.0, 0.25))
    tint = 0.08 * torch.randn((batch, layers - 1, 3, 1, 1), generator=rng)
    colour = (uniform(rng, shape, 0.03, 0.97) + tint).to(windows.device)
    faint, chosen = faint.to(windows.device), lattices.chosen.to(windows.device)[..., None, None, None]
    flat = colour - faint * windows[:, 1:].mean(dim=(2, 3, 4), keepdim=True)
    contrast = torch.cat((contrast[:, :1], torch.where(chosen, faint, contrast[:, 1:])), dim=1)
    brightness = brightness.expand(-1, -1, 3, -1, -1)
    return contrast, torch.cat((brightness[:, :1], torch.where(chosen, flat, brightness[:, 1:])), dim=1)


_OUTLINE_HARMONICS = 3


@dataclass(frozen=True)
class Masks:
    """Soft outlines of the foreground layers, as functions of the coordinates: wavy discs, bars, rows of bars."""

    centre_px: Tensor  # (B, L, 2)
    radius_px: Tensor  # (B, L)
    angle: Tensor  # (B, L)
    aspect: Tensor  # (B, L), below 1 for bars
    wave: Tensor  # (B, L, K), amplitudes of the outline's harmonics
    wave_phase: Tensor  # (B, L, K)
    softness_px: Tensor  # (B, L)
    pitch_px: Tensor  # (B, L), distance of the bars in a row; infinite where there is one shape
    patch_px: int
    lattices: Lattices | None = None

    @staticmethod
    def draw(
        rng: torch.Generator,
        settings: PairSettings,
        batch: int,
        layers: int,
        device: torch.device,
        lattices: Lattices | None = None,
    ) -> Masks:
        """Draw an outline for every foreground layer."""
        shape, side = (batch, layers), settings.patch_px
        bar = torch.rand(shape, generator=rng) < 0.4
        radius = torch.where(bar, uniform(rng, shape, 0.3, 1.2), uniform(rng, shape, 0.1, 0.5)) * side
        thickness_px = log_uniform(rng, shape, 1.0, 12.0)
        aspect = torch.where(bar, thickness_px / radius, uniform(rng, shape, 0.4, 1.0))
        # Cables, railings, trusses: two in five bars are rows of bars.
        in_row = bar & (torch.rand(shape, generator=rng) < 0.4)
        pitch_px = torch.where(in_row, thickness_px * uniform(rng, shape, 2.5, 8.0) + 4.0, torch.inf)
        wave = uniform(rng, (*shape, _OUTLINE_HARMONICS), -0.16, 0.16) * (~bar)[..., None]
        return Masks(
            centre_px=(uniform(rng, (*shape, 2), -0.4, 0.4) * side).to(device),
            radius_px=radius.to(device),
            angle=uniform(rng, shape, 0.0, 2 * math.pi).to(device),
            aspect=aspect.to(device),
            wave=wave.to(device),
            wave_phase=uniform(rng, wave.shape, 0.0, 2 * math.pi).to(device),
            softness_px=log_uniform(rng, shape, 0.5, 2.5).to(device),
            pitch_px=pitch_px.to(device),
            patch_px=side,
            lattices=lattices.to(device) if lattices is not None else None,
        )

    def modes(self, shift_px: Tensor) -> Tensor | None:
        """Mode shape of each layer, the share of its shift at each place, B x L x 1 x P x P; None: 1 everywhere."""
        if self.lattices is None:
            return None
        axis = _from_middle(self.patch_px, shift_px.device)
        return self.lattices.mode(shift_px, (axis, axis[:, None])).unsqueeze(2)

    def render(self, shift_px: Tensor) -> Tensor:
        """Coverage in [0, 1] of masks moved by B x L x 2 (x, y) px: B x L x 1 x P x P."""
        axis = _from_middle(self.patch_px, shift_px.device)  # (P,)
        at = self.centre_px + shift_px  # (B, L, 2)
        x = axis - at[..., 0, None, None]  # (B, L, 1, P)
        y = axis[:, None] - at[..., 1, None, None]  # (B, L, P, 1)
        cos, sin = self.angle.cos()[..., None, None], self.angle.sin()[..., None, None]
        u, v = x * cos + y * sin, y * cos - x * sin  # (B, L, P, P) each
        pitch_px = self.pitch_px[..., None, None]
        v = torch.where(pitch_px.isfinite(), torch.remainder(v + pitch_px / 2, pitch_px) - pitch_px / 2, v)
        v = v / self.aspect[..., None, None]
        theta = torch.atan2(v, u)[..., None]  # (B, L, P, P, 1)
        harmonics = torch.arange(2, 2 + _OUTLINE_HARMONICS, device=shift_px.device)
        wave = self.wave[..., None, None, :] * torch.cos(
            harmonics * theta + self.wave_phase[..., None, None, :]
        )
        outline = self.radius_px[..., None, None] * (1.0 + wave.sum(-1))  # (B, L, P, P)
        # The distance to the outline, in px: scaled across a thin bar by its aspect.
        inside_px = (outline - torch.hypot(u, v)) * self.aspect.clamp(max=1.0)[..., None, None]
        coverage = torch.sigmoid(inside_px / (0.5 * self.softness_px)[..., None, None])  # (B, L, P, P)
        if self.lattices is not None:
            mode = self.lattices.mode(shift_px, (axis, axis[:, None]))  # (B, L, P, P)
            x = axis - mode * shift_px[..., 0, None, None]  # (B, L, P, P)
            y = axis[:, None] - mode * shift_px[..., 1, None, None]  # (B, L, P, P)
            thin = self.lattices.coverage(x, y)  # (B, L, P, P)
            coverage = torch.where(self.lattices.chosen[..., None, None], thin, coverage)
        return coverage.unsqueeze(2)  # (B, L, 1, P, P)
