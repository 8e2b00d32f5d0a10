"""Training pairs: layers that move by sub-pixel amounts, and the truth of how they look magnified.

After Oh et al. (ECCV 2018), section 3.3: a background and moving foreground layers, some of them still, small
contrasts, blur, a colour-perturbed twin, shot noise and 8-bit quantisation. Every translation is exact in float:
a picture is the continuous function  f(x) = sum_j picture[j] k(x - j)  with a fixed band-limiting kernel k,
sampled where the layer has moved to; masks are analytic functions of the moved coordinates.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor
from torch.nn import functional as F

_KERNEL_HALF_WIDTH = 6
"""In output pixels."""
_MAX_ZOOM_OUT = 1.5
"""Source pixels per output pixel, at most; the least is 1."""


class PairSettings(BaseModel):
    """What training pairs are like."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    patch_px: int = Field(default=80, ge=16)
    foreground_layers: int = Field(default=2, ge=0)
    input_motion_max_px: float = Field(default=10.0, gt=0)
    magnified_motion_max_px: float = Field(default=30.0, gt=0)
    amplification_min: float = Field(default=1.0, ge=1.0)
    amplification_max: float = Field(default=100.0, gt=1.0)
    still_background_share: float = Field(default=0.3, ge=0, le=1)
    still_layer_share: float = Field(default=0.15, ge=0, le=1)
    low_contrast_share: float = Field(default=0.15, ge=0, le=1)
    blurred_share: float = Field(default=0.15, ge=0, le=1)
    noiseless_share: float = Field(default=0.25, ge=0, le=1)
    noise_max_grey_levels: float = Field(default=6.0, ge=0)
    """Shot noise's standard deviation at mid-grey, at most, in 8-bit grey levels."""
    compression_share: float = Field(default=0.4, ge=0, le=1)
    """Of the pairs whose noise is partly patchy, as video compression leaves it."""
    compression_max_grey_levels: float = Field(default=1.5, ge=0)
    flicker_share: float = Field(default=0.3, ge=0, le=1)
    """Of the pairs whose light changes between reference and frame; that must not pass for motion."""
    flicker_max: float = Field(default=0.02, ge=0, lt=0.5)
    """Relative change of brightness, at most."""

    @property
    def window_px(self) -> int:
        """Side of the square that is cut from a picture to render one patch, whatever its motion and zoom."""
        reach = self.patch_px + 2 * self.magnified_motion_max_px
        return math.ceil(reach * _MAX_ZOOM_OUT + 2 * _KERNEL_HALF_WIDTH * _MAX_ZOOM_OUT) + 2


@dataclass(frozen=True)
class Pairs:
    """A batch of pairs: frames B x 3 x P x P, float32 RGB in [0, 1]; the inputs are quantised to 8 bits."""

    reference: Tensor
    frame: Tensor
    magnified: Tensor
    """The truth: every layer moved by amplification times its displacement; neither noisy nor quantised."""
    frame_recoloured: Tensor
    """The frame with other colours, same shapes."""
    magnified_recoloured: Tensor
    amplification: Tensor
    """B."""

    def to(self, device: torch.device) -> Pairs:
        """The same pairs on another device."""
        return Pairs(**{name: tensor.to(device) for name, tensor in vars(self).items()})


def draw_pairs(
    pictures: Sequence[Tensor], settings: PairSettings, batch: int, seed: int, difficulty: float = 1.0,
    device: torch.device | None = None,
) -> Pairs:  # fmt: skip
    """Draw a batch of pairs; the same seed gives the same pairs.

    Args:
        pictures: uint8, 3 x H x W each, at least `PairSettings.window_px` a side.
        difficulty: 0 to 1, scales the magnified motion's limit (and with it the input's), for a curriculum.
        device: where to render; the random draws are made on the CPU, so they don't depend on it.
    """
    device = device or torch.device("cpu")
    rng = torch.Generator().manual_seed(seed)
    layers = 1 + settings.foreground_layers
    # A small motion is first shown little amplified: at the most amplification it would drown in the 8-bit steps.
    highest = settings.amplification_max ** max(0.4, difficulty)
    amplification = _log_uniform(
        rng, (batch,), settings.amplification_min, max(highest, settings.amplification_min)
    )
    magnified_px = _draw_motion(rng, settings, amplification, layers, difficulty)  # B x L x 2
    displacement_px = magnified_px / amplification[:, None, None]
    textures = _Textures.draw(rng, pictures, settings, batch, layers, device)
    masks = _Masks.draw(rng, settings, batch, layers - 1, device)

    def compose(shift_px: Tensor) -> Tensor:
        shift_px = shift_px.to(device)
        colours = textures.render(shift_px)  # B x L x 3 x P x P
        coverage = masks.render(shift_px[:, 1:])  # B x (L - 1) x 1 x P x P
        picture = colours[:, 0]
        for layer in range(layers - 1):
            picture = torch.lerp(picture, colours[:, layer + 1], coverage[:, layer])
        return picture.clamp(0.0, 1.0)

    reference, frame, magnified = (
        compose(shift) for shift in (0 * displacement_px, displacement_px, magnified_px)
    )
    light = _draw_flicker(rng, settings, batch).to(device)
    frame, magnified = (frame * light).clamp(0.0, 1.0), (magnified * light).clamp(0.0, 1.0)
    recolour = _recolouring(rng, batch, device)
    sensor = _Sensor.draw(rng, settings, batch, device)
    return Pairs(
        reference=sensor.film(rng, reference),
        frame=sensor.film(rng, frame),
        magnified=magnified,
        frame_recoloured=sensor.film(rng, recolour(frame)),
        magnified_recoloured=recolour(magnified),
        amplification=amplification.to(device),
    )


def _log_uniform(rng: torch.Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.exp(_uniform(rng, shape, math.log(low), math.log(high)))


def _uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def _draw_motion(
    rng: torch.Generator, settings: PairSettings, amplification: Tensor, layers: int, difficulty: float
) -> Tensor:
    """Magnified displacement of each layer: B x L x 2 (x, y) in px."""
    batch = len(amplification)
    limit_px = (settings.input_motion_max_px * amplification).clamp(max=settings.magnified_motion_max_px)
    # To the power of 1.5: small motion is what structures have, and what must come out best.
    length = difficulty * limit_px[:, None] * torch.rand((batch, layers), generator=rng) ** 1.5
    angle = _uniform(rng, (batch, layers), 0.0, 2 * math.pi)
    still = torch.rand((batch, layers), generator=rng) < settings.still_layer_share
    still[:, 0] |= torch.rand(batch, generator=rng) < settings.still_background_share
    length = torch.where(still, 0.0, length)
    return torch.stack((length * angle.cos(), length * angle.sin()), dim=-1)


def _draw_flicker(rng: torch.Generator, settings: PairSettings, batch: int) -> Tensor:
    """Brightness of the frame over that of the reference: B x 1 x 1 x 1."""
    flickers = torch.rand(batch, generator=rng) < settings.flicker_share
    change = _uniform(rng, (batch,), -settings.flicker_max, settings.flicker_max)
    return torch.where(flickers, 1.0 + change, 1.0).reshape(-1, 1, 1, 1)


@dataclass(frozen=True)
class _Sensor:
    """What a camera and its compression do to a picture: shot noise, patchy noise, 8 bits."""

    shot_sigma: Tensor  # B x 1 x 1 x 1, deviation at mid-grey, of full scale
    patchy_sigma: Tensor  # B x 1 x 1 x 1
    patch_px: int

    @staticmethod
    def draw(rng: torch.Generator, settings: PairSettings, batch: int, device: torch.device) -> _Sensor:
        quiet = torch.rand(batch, generator=rng) < settings.noiseless_share
        # Squared, so that the small noise of good cameras is seen more often than the large.
        shot = settings.noise_max_grey_levels / 255.0 * torch.rand(batch, generator=rng) ** 2
        compressed = torch.rand(batch, generator=rng) < settings.compression_share
        patchy = settings.compression_max_grey_levels / 255.0 * torch.rand(batch, generator=rng) ** 2
        shot, patchy = torch.where(quiet, 0.0, shot), torch.where(compressed & ~quiet, patchy, 0.0)
        patch_px = 2 << int(torch.randint(3, (1,), generator=rng))  # 2, 4 or 8
        shape = (-1, 1, 1, 1)
        return _Sensor(shot.reshape(shape).to(device), patchy.reshape(shape).to(device), patch_px)

    def film(self, rng: torch.Generator, picture: Tensor) -> Tensor:
        """B x 3 x P x P in [0, 1] -> the same, noisy and rounded to 8 bits."""
        side = picture.shape[-1]
        noise = torch.randn(picture.shape, generator=rng).to(picture.device)
        coarse = torch.randn((len(picture), 3, *2 * [-(-side // self.patch_px)]), generator=rng)
        patches = F.interpolate(coarse.to(picture.device), size=(side, side), mode="bilinear")
        # Shot noise's variance grows with the light.
        noisy = picture + self.shot_sigma * (picture / 0.5).sqrt() * noise + self.patchy_sigma * patches
        return (noisy.clamp(0.0, 1.0) * 255.0).round() / 255.0


def _recolouring(rng: torch.Generator, batch: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    gain = _uniform(rng, (batch, 3, 1, 1), 0.7, 1.3).to(device)
    offset = _uniform(rng, (batch, 3, 1, 1), -0.1, 0.1).to(device)
    return lambda picture: (picture * gain + offset).clamp(0.0, 1.0)


@dataclass(frozen=True)
class _Textures:
    """What each layer is painted with: a window of a picture, sampled at moved coordinates."""

    windows: Tensor  # B x L x 3 x W x W float, already recoloured
    zoom_out: Tensor  # B x L source px per output px
    blur: Tensor  # B x L widening of the kernel, at least 1
    patch_px: int

    @staticmethod
    def draw(
        rng: torch.Generator, pictures: Sequence[Tensor], settings: PairSettings, batch: int, layers: int,
        device: torch.device,
    ) -> _Textures:  # fmt: skip
        side = settings.window_px
        windows = torch.stack([_cut_window(rng, pictures, side) for _ in range(batch * layers)])
        windows = windows.to(device).float().reshape(batch, layers, 3, side, side) / 255.0
        shape = (batch, layers)
        low = torch.rand(shape, generator=rng) < settings.low_contrast_share
        contrast = torch.where(low, _log_uniform(rng, shape, 0.03, 0.4), _uniform(rng, shape, 0.6, 1.2))
        mean = windows.mean(dim=(2, 3, 4), keepdim=True)
        shift = _uniform(rng, shape, -0.15, 0.15).to(device)[..., None, None, None]
        windows = mean + shift + (windows - mean) * contrast.to(device)[..., None, None, None]
        blurred = torch.rand(shape, generator=rng) < settings.blurred_share
        blur = torch.where(blurred, _uniform(rng, shape, 1.0, 4.0), torch.ones(shape))
        zoom_out = _uniform(rng, shape, 1.0, _MAX_ZOOM_OUT)
        return _Textures(windows, zoom_out.to(device), blur.to(device), settings.patch_px)

    def render(self, shift_px: Tensor) -> Tensor:
        """Layers moved by B x L x 2 (x, y) px -> B x L x 3 x P x P."""
        rows = self._sampling_matrix(shift_px[..., 1])  # B x L x P x W
        columns = self._sampling_matrix(shift_px[..., 0])
        return torch.einsum("blpw,blcwv,blqv->blcpq", rows, self.windows, columns)

    def _sampling_matrix(self, shift_px: Tensor) -> Tensor:
        side = self.windows.shape[-1]
        output = torch.arange(self.patch_px, device=shift_px.device) - (self.patch_px - 1) / 2
        source = torch.arange(side, device=shift_px.device) - (side - 1) / 2
        # A layer that moves right by s shows at output x what it held at x - s.
        position = (output - shift_px[..., None]) * self.zoom_out[..., None]  # B x L x P
        width = (self.zoom_out * self.blur)[..., None, None]
        half_width = (_KERNEL_HALF_WIDTH / self.blur)[..., None, None]
        weights = band_limited_kernel((position[..., None] - source) / width, half_width)
        # One constant a layer, the same for every shift: dividing each row by its own sum would bend the motion.
        return weights / band_limited_kernel(source / width, half_width).sum(-1, keepdim=True)


def band_limited_kernel(x: Tensor, half_width: Tensor | float = _KERNEL_HALF_WIDTH) -> Tensor:
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


_OUTLINE_HARMONICS = 3


@dataclass(frozen=True)
class _Masks:
    """Soft outlines of the foreground layers, as functions of the coordinates: wavy discs, bars, rows of bars."""

    centre_px: Tensor  # B x L x 2
    radius_px: Tensor  # B x L
    angle: Tensor  # B x L
    aspect: Tensor  # B x L, below 1 for bars
    wave: Tensor  # B x L x K amplitudes of the outline's harmonics
    wave_phase: Tensor  # B x L x K
    softness_px: Tensor  # B x L
    pitch_px: Tensor  # B x L, distance of the bars in a row; infinite where there is one shape
    patch_px: int

    @staticmethod
    def draw(
        rng: torch.Generator, settings: PairSettings, batch: int, layers: int, device: torch.device
    ) -> _Masks:
        shape, side = (batch, layers), settings.patch_px
        bar = torch.rand(shape, generator=rng) < 0.4
        radius = torch.where(bar, _uniform(rng, shape, 0.3, 1.2), _uniform(rng, shape, 0.1, 0.5)) * side
        thickness_px = _log_uniform(rng, shape, 1.0, 12.0)
        aspect = torch.where(bar, thickness_px / radius, _uniform(rng, shape, 0.4, 1.0))
        # Cables, railings, trusses: two in five bars are rows of bars.
        in_row = bar & (torch.rand(shape, generator=rng) < 0.4)
        pitch_px = torch.where(in_row, thickness_px * _uniform(rng, shape, 2.5, 8.0) + 4.0, torch.inf)
        wave = _uniform(rng, (*shape, _OUTLINE_HARMONICS), -0.16, 0.16) * (~bar)[..., None]
        return _Masks(
            centre_px=(_uniform(rng, (*shape, 2), -0.4, 0.4) * side).to(device),
            radius_px=radius.to(device),
            angle=_uniform(rng, shape, 0.0, 2 * math.pi).to(device),
            aspect=aspect.to(device),
            wave=wave.to(device),
            wave_phase=_uniform(rng, wave.shape, 0.0, 2 * math.pi).to(device),
            softness_px=_log_uniform(rng, shape, 0.5, 2.5).to(device),
            pitch_px=pitch_px.to(device),
            patch_px=side,
        )

    def render(self, shift_px: Tensor) -> Tensor:
        """Coverage in [0, 1] of masks moved by B x L x 2 (x, y) px: B x L x 1 x P x P."""
        axis = torch.arange(self.patch_px, device=shift_px.device) - (self.patch_px - 1) / 2
        at = self.centre_px + shift_px
        x = axis - at[..., 0, None, None]
        y = axis[:, None] - at[..., 1, None, None]
        cos, sin = self.angle.cos()[..., None, None], self.angle.sin()[..., None, None]
        u, v = x * cos + y * sin, y * cos - x * sin
        pitch_px = self.pitch_px[..., None, None]
        v = torch.where(pitch_px.isfinite(), torch.remainder(v + pitch_px / 2, pitch_px) - pitch_px / 2, v)
        v = v / self.aspect[..., None, None]
        theta = torch.atan2(v, u)[..., None]
        harmonics = torch.arange(2, 2 + _OUTLINE_HARMONICS, device=shift_px.device)
        wave = self.wave[..., None, None, :] * torch.cos(
            harmonics * theta + self.wave_phase[..., None, None, :]
        )
        outline = self.radius_px[..., None, None] * (1.0 + wave.sum(-1))
        # The distance to the outline, in px: scaled across a thin bar by its aspect.
        inside_px = (outline - torch.hypot(u, v)) * self.aspect.clamp(max=1.0)[..., None, None]
        return torch.sigmoid(inside_px / (0.5 * self.softness_px)[..., None, None]).unsqueeze(2)
