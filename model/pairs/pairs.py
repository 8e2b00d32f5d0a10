"""Training pairs: layers that move by sub-pixel amounts, and their exactly magnified picture.

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
    """Ground truth: every layer moved by amplification times its displacement; neither noisy nor quantised."""
    frame_recoloured: Tensor
    """The frame with other colours, same shapes."""
    magnified_recoloured: Tensor
    amplification: Tensor
    """B, at least 1."""
    added_px: Tensor
    """B x 2 x P x P: displacement (x, y) from the frame of the content at each pixel of ``magnified``."""
    layers: LayerTruth | None = None
    """Ground truth as two layers; None unless `PairSettings.two_layers`."""

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
    pictures: Sequence[Tensor],
    settings: PairSettings,
    batch: int,
    seed: int,
    difficulty: float = 1.0,
    device: torch.device | None = None,
) -> Pairs:
    """Draw a batch of pairs; the same seed gives the same pairs.

    Args:
        pictures: uint8, 3 x H x W each, at least `PairSettings.window_px` a side.
        settings: of the pairs.
        batch: number of pairs.
        seed: of all random draws.
        difficulty: 0 to 1, scales the magnified motion's limit (and with it the input's), for a curriculum.
        device: to render on; the random draws are made on the CPU and do not depend on it.
    """
    device = device or torch.device("cpu")
    rng = torch.Generator().manual_seed(seed)
    amplification = _draw_amplification(rng, settings, batch, difficulty)  # (B,)
    layers = 1 + settings.foreground_layers
    motion = _draw_motion(rng, settings, amplification, layers, difficulty)  # (B, L, 2)
    displacement_px = (motion / amplification[:, None, None]).to(device)
    magnified_px = motion.to(device)
    scene = _LayeredScene.draw(rng, pictures, settings, motion, device)
    light = _draw_flicker(rng, settings, batch).to(device)  # (B, 1, 1, 1)
    recolour = _recolouring(rng, batch, device)
    sensor = _Sensor.draw(rng, settings, batch, device)
    reference, frame, magnified = (
        scene.render(shift_px) for shift_px in (0 * displacement_px, displacement_px, magnified_px)
    )
    added = scene.added_px(displacement_px, magnified_px)  # (B, L, 2, P, P)
    two_layers = None
    if settings.two_layers:
        painted = light[:, None] * frame.layers  # (B, L, 3, P, P)
        most_px = magnified_px - displacement_px
        two_layers = layer_truth(painted, frame.coverage, magnified.coverage, added, most_px)
    lit, truth = ((each.picture() * light).clamp(0.0, 1.0) for each in (frame, magnified))
    return Pairs(
        reference=sensor.film(rng, reference.picture()),
        frame=sensor.film(rng, lit),
        magnified=truth,
        frame_recoloured=sensor.film(rng, recolour(lit)),
        magnified_recoloured=recolour(truth),
        amplification=amplification.to(device),
        added_px=overlay(added, magnified.coverage),
        layers=two_layers,
    )


@dataclass(frozen=True)
class _Rendered:
    """Layers at some displacement, before they are composited."""

    layers: Tensor  # (B, L, 3, P, P)
    coverage: Tensor  # (B, L - 1, 1, P, P)

    def picture(self) -> Tensor:
        """B x 3 x P x P in [0, 1]."""
        return overlay(self.layers, self.coverage).clamp(0.0, 1.0)


@dataclass(frozen=True)
class _LayeredScene:
    """Textured layers with outlines, composited at any displacement."""

    textures: Textures
    masks: Masks

    @staticmethod
    def draw(
        rng: torch.Generator,
        pictures: Sequence[Tensor],
        settings: PairSettings,
        motion: Tensor,
        device: torch.device,
    ) -> _LayeredScene:
        batch, layers = motion.shape[:2]
        lattices = Lattices.draw(rng, settings, batch, layers - 1) if settings.structure_share else None
        if lattices is not None and settings.moving_whole_share:
            whole = (motion == motion[:, :1]).all(dim=-1)  # (B, L): what moves with everything does not bend
            lattices = replace(lattices, bent=lattices.bent & ~whole[:, 1:])
        textures = Textures.draw(rng, pictures, settings, batch, layers, device, lattices)
        return _LayeredScene(textures, Masks.draw(rng, settings, batch, layers - 1, device, lattices))

    def render(self, shift_px: Tensor) -> _Rendered:
        """The layers at shifts B x L x 2 px."""
        return _Rendered(self.textures.render(shift_px), self.masks.render(shift_px[:, 1:]))

    def added_px(self, displacement_px: Tensor, magnified_px: Tensor) -> Tensor:
        """Displacement that magnification adds to each layer, which varies within layers that bend.

        Shifts in the frame and in the magnified frame, B x L x 2 each -> B x L x 2 x P x P.
        """
        side = self.textures.patch_px
        added = (magnified_px - displacement_px)[..., None, None].expand(-1, -1, -1, side, side)
        modes = self.masks.modes(magnified_px[:, 1:])  # (B, L - 1, 1, P, P)
        return added if modes is None else torch.cat((added[:, :1], added[:, 1:] * modes), dim=1)


def _draw_amplification(
    rng: torch.Generator, settings: PairSettings, batch: int, difficulty: float
) -> Tensor:
    # A curriculum for amplification too: at the largest, the small motion of easy pairs is lost in 8-bit steps.
    highest = settings.amplification_max ** max(0.4, difficulty)
    return log_uniform(rng, (batch,), settings.amplification_min, max(highest, settings.amplification_min))


def _draw_motion(
    rng: torch.Generator, settings: PairSettings, amplification: Tensor, layers: int, difficulty: float
) -> Tensor:
    """Magnified displacement of each layer: B x L x 2 (x, y) in px."""
    batch = len(amplification)
    limit_px = (settings.input_motion_max_px * amplification).clamp(max=settings.magnified_motion_max_px)
    # To the power of 1.5: structures move little, so small motion must be learnt best.
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
    """Degradation by a camera and its compression: shot noise, patchy noise, 8-bit quantisation."""

    shot_sigma: Tensor  # (B, 1, 1, 1), deviation at mid-grey, of full scale
    patchy_sigma: Tensor  # (B, 1, 1, 1)
    patch_px: int

    @staticmethod
    def draw(rng: torch.Generator, settings: PairSettings, batch: int, device: torch.device) -> _Sensor:
        quiet = torch.rand(batch, generator=rng) < settings.noiseless_share
        # Squared, so that small noise, as of good cameras, is drawn more often than large.
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
        noise = torch.randn(picture.shape, generator=rng).to(picture.device)  # (B, 3, P, P)
        coarse = torch.randn((len(picture), 3, *2 * [-(-side // self.patch_px)]), generator=rng)
        patches = F.interpolate(coarse.to(picture.device), size=(side, side), mode="bilinear")  # (B, 3, P, P)
        # Shot noise's variance grows with the light.
        noisy = picture + self.shot_sigma * (picture / 0.5).sqrt() * noise + self.patchy_sigma * patches
        return (noisy.clamp(0.0, 1.0) * 255.0).round() / 255.0


def _recolouring(rng: torch.Generator, batch: int, device: torch.device) -> Callable[[Tensor], Tensor]:
    """A random gain and offset of each colour channel of each pair."""
    gain = uniform(rng, (batch, 3, 1, 1), 0.7, 1.3).to(device)
    offset = uniform(rng, (batch, 3, 1, 1), -0.1, 0.1).to(device)
    return lambda picture: (picture * gain + offset).clamp(0.0, 1.0)
