"""The baseline: Oh et al., "Learning-based Video Motion Magnification", ECCV 2018, arXiv 1804.02684."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tremorscope.model.networks.blocks import FrameRepresentation, ResidualBlock, add_gates, convolution


@dataclass(frozen=True)
class BaselineConfig:
    """The baseline's configuration; the defaults are those of Oh et al."""

    channels: int = 32
    """Channels of the encoder and of each representation; the decoder has twice as many."""
    encoder_blocks: int = 3
    branch_blocks: int = 2
    decoder_blocks: int = 9
    gated: bool = False
    """Put a gate at every non-linearity and residual block, for learning to remove (`model.networks.removal`)."""
    removed: tuple[str, ...] = ()
    """Non-linearities and residual blocks that are left out, by their names within the network."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "removed", tuple(self.removed))  # YAML and JSON have lists


class BaselineNetwork(nn.Module):
    """The network of Oh et al.: deep encoder, decoder at half the resolution, reflect padding."""

    def __init__(self, config: BaselineConfig = BaselineConfig()) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        self.stem = nn.Sequential(
            _reflect(3, c // 2, 7),
            nn.ReLU(),
            _reflect(c // 2, c, 3, stride=2),
            nn.ReLU(),
            *_blocks(c, config.encoder_blocks),
        )
        self.texture_branch = nn.Sequential(
            _reflect(c, c, 3, stride=2), nn.ReLU(), *_blocks(c, config.branch_blocks)
        )
        self.shape_branch = nn.Sequential(_reflect(c, c, 3), nn.ReLU(), *_blocks(c, config.branch_blocks))
        self.manipulator_before = nn.Sequential(_reflect(c, c, 7), nn.ReLU())
        self.manipulator_after = nn.Sequential(_reflect(c, c, 3), *_blocks(c, 1))
        self.texture_upsampler = nn.Sequential(nn.Upsample(scale_factor=2), _reflect(c, c, 3), nn.ReLU())
        self.decoder = nn.Sequential(
            *_blocks(2 * c, config.decoder_blocks),
            nn.Upsample(scale_factor=2),
            _reflect(2 * c, 2 * c, 3),
            nn.ReLU(),
            _reflect(2 * c, c, 3),
            nn.ReLU(),
            _reflect(c, 3, 7),
        )
        for name in config.removed:
            parent, _, child = name.rpartition(".")
            try:
                self.get_submodule(name)
            except AttributeError:
                raise ValueError(f"removed: the network has no part {name!r}") from None
            setattr(self.get_submodule(parent), child, nn.Identity())
        if config.gated:
            add_gates(self)

    def encode(self, frame: Tensor) -> FrameRepresentation:
        """B x 3 x H x W -> texture B x C x H/4 x W/4 and shape B x C x H/2 x W/2 (rounded up)."""
        features = self.stem(frame - 0.5)  # (B, C, H/2, W/2)
        texture = self.texture_branch(features)  # (B, C, H/4, W/4)
        shape = self.shape_branch(features)  # (B, C, H/2, W/2)
        return FrameRepresentation(texture, shape)

    def manipulate(self, shape: Tensor, reference_shape: Tensor, amplification: Tensor) -> Tensor:
        """M_b + h(gain g(M_b - M_a)): B x C x H/2 x W/2."""
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)  # (B, 1, 1, 1)
        motion = gain * self.manipulator_before(shape - reference_shape)  # (B, C, H/2, W/2)
        magnified: Tensor = shape + self.manipulator_after(motion)  # (B, C, H/2, W/2)
        return magnified

    def forward(self, frame: Tensor, reference: Tensor, amplification: Tensor) -> Tensor:
        """Frame and reference B x 3 x H x W in [0, 1], amplification B -> magnified frame, B x 3 x H x W."""
        height, width = frame.shape[2:]
        texture, shape = self.encode(frame)  # (B, C, H/4, W/4), (B, C, H/2, W/2)
        magnified_shape = self.manipulate(shape, self.encode(reference).shape, amplification)
        texture = self.texture_upsampler(texture)  # (B, C, H/2, W/2), up to even sizes
        texture = texture[:, :, : shape.shape[2], : shape.shape[3]]  # (B, C, H/2, W/2)
        features = torch.cat((texture, magnified_shape), dim=1)  # (B, 2 C, H/2, W/2)
        x: Tensor = self.decoder(features)  # (B, 3, H, W), up to even sizes
        return x[:, :, :height, :width] + 0.5

    def magnify_pixels(self, frame_px: Tensor, reference_px: Tensor, amplification: Tensor) -> Tensor:
        """As `forward`, in grey levels 0 to 255."""
        magnified: Tensor = self(frame_px / 255.0, reference_px / 255.0, amplification)  # (B, 3, H, W)
        return 255.0 * magnified


def _reflect(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return convolution(inputs, outputs, kernel, stride, padding_mode="reflect")


def _blocks(channels: int, count: int) -> list[ResidualBlock]:
    return [ResidualBlock(channels, padding_mode="reflect") for _ in range(count)]
