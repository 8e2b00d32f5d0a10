"""Training pairs: layers that move by sub-pixel amounts, and the truth of how they look magnified.

After Oh et al. (ECCV 2018), section 3.3: a background and moving foreground layers, some of them still, small
contrasts, blur, a colour-perturbed twin, shot noise and 8-bit quantisation. Every translation is exact in float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from tremorscope.model.pairs.lattices import Lattices
from tremorscope.model.pairs.layer_truth import LayerTruth, layer_truth, overlay
from tremorscope.model.pairs.layers import Masks, Textures
from tremorscope.model.pairs.randomness import log_uniform, uniform
from tremorscope.model.pairs.settings import PairSettings


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
    added_px: Tensor
    """B x 2 x P x P: by how much (x, y) what ``magnified`` shows at a pixel lies further than in the frame."""

    layers: LayerTruth | None = None
    """The truth as two layers, where the settings ask for it."""

    def to(self, device: torch.device) -> Pairs:
        """The same pairs on another device."""
        layers = self.layers and self.layers.to(device)
        others = {name: part.to(device) for name, part in vars(self).items() if name != "layers"}
        return Pairs(**others, layers=layers)

    def select(self, which: slice) -> Pairs:
        """Some of the pairs."""
        layers = self.layers and LayerTruth(**{name: part[which] for name, part in vars(self.layers).items()})
        others = {name: part[which] for name, part in vars(self).items() if name != "layers"}
        return Pairs(**others, layers=layers)


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
    amplification = log_uniform(
        rng, (batch,), settings.amplification_min, max(highest, settings.amplification_min)
    )
    magnified_px = _draw_motion(rng, settings, amplification, layers, difficulty)  # B x L x 2
    displacement_px = magnified_px / amplification[:, None, None]
    lattices = Lattices.draw(rng, settings, batch, layers - 1) if settings.structure_share else None
    if lattices is not None and settings.moving_whole_share:
        # What moves with everything does not bend.
        whole = (magnified_px == magnified_px[:, :1]).all(dim=-1)
        lattices = replace(lattices, bent=lattices.bent & ~whole[:, 1:])
    textures = Textures.draw(rng, pictures, settings, batch, layers, device, lattices)
    masks = Masks.draw(rng, settings, batch, layers - 1, device, lattices)

    def render(shift_px: Tensor) -> tuple[Tensor, Tensor]:
        shift_px = shift_px.to(device)
        return textures.render(shift_px), masks.render(
            shift_px[:, 1:]
        )  # B x L x 3 x P x P, B x (L - 1) x 1 ...

    def compose(layers: Tensor, coverage: Tensor) -> Tensor:
        return overlay(layers, coverage).clamp(0.0, 1.0)

    painted, in_frame = render(displacement_px)
    reference, frame = compose(*render(0 * displacement_px)), compose(painted, in_frame)
    magnified_layers, coverage = render(magnified_px)
    magnified = compose(magnified_layers, coverage)
    added = (magnified_px - displacement_px).to(device)[..., None, None]
    modes = masks.modes(magnified_px[:, 1:].to(device))
    if modes is not None:
        added = torch.cat((added[:, :1].expand(-1, -1, -1, *modes.shape[3:]), added[:, 1:] * modes), dim=1)
    added_px = overlay(added, coverage)
    light = _draw_flicker(rng, settings, batch).to(device)
    truth = None
    if settings.two_layers:
        truth = layer_truth(
            light[:, None] * painted, in_frame, coverage,
            added.expand(-1, -1, -1, *frame.shape[2:]), (magnified_px - displacement_px).to(device),
        )  # fmt: skip
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
        added_px=added_px.expand(-1, -1, *frame.shape[2:]),
        layers=truth,
    )


def _draw_motion(
    rng: torch.Generator, settings: PairSettings, amplification: Tensor, layers: int, difficulty: float
) -> Tensor:
    """Magnified displacement of each layer: B x L x 2 (x, y) in px."""
    batch = len(amplification)
    limit_px = (settings.input_motion_max_px * amplification).clamp(max=settings.magnified_motion_max_px)
    # To the power of 1.5: small motion is what structures have, and what must come out best.
    length = difficulty * limit_px[:, None] * torch.rand((batch, layers), generator=rng) ** 1.5
    angle = uniform(rng, (batch, layers), 0.0, 2 * math.pi)
    still = torch.rand((batch, layers), generator=rng) < settings.still_layer_share
    still[:, 0] |= torch.rand(batch, generator=rng) < settings.still_background_share
    length = torch.where(still, 0.0, length)
    motion_px = torch.stack((length * angle.cos(), length * angle.sin()), dim=-1)
    if settings.moving_whole_share:
        whole = ~still[:, 0] & (torch.rand(batch, generator=rng) < settings.moving_whole_share)
        motion_px = torch.where(whole[:, None, None], motion_px[:, :1], motion_px)
    return motion_px


def _draw_flicker(rng: torch.Generator, settings: PairSettings, batch: int) -> Tensor:
    """Brightness of the frame over that of the reference: B x 1 x 1 x 1."""
    flickers = torch.rand(batch, generator=rng) < settings.flicker_share
    change = uniform(rng, (batch,), -settings.flicker_max, settings.flicker_max)
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
    gain = uniform(rng, (batch, 3, 1, 1), 0.7, 1.3).to(device)
    offset = uniform(rng, (batch, 3, 1, 1), -0.1, 0.1).to(device)
    return lambda picture: (picture * gain + offset).clamp(0.0, 1.0)
