"""Alternative encoders of the real-time network: with non-linearities, or one for texture and motion together.

For the study that asks what a linear encoder with two branches costs in quality (docs/results.md). These networks are
judged in PyTorch and not exported: behind a non-linearity the difference of two frames can no longer be taken first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from tremorscope.model.networks.blocks import ResidualBlock
from tremorscope.model.networks.realtime import Decoded, RealtimeConfig, RealtimeNetwork


@dataclass(frozen=True)
class StudiedConfig(RealtimeConfig):
    """A real-time network with another encoder."""

    encoder_blocks: int = 0
    """Residual blocks, behind a ReLU, that follow each linear encoder; 0 leaves it linear."""
    branches: Literal[1, 2] = 2
    """Encoders: 2, one each for texture and motion, or 1 of ``shape_channels`` for both."""


class StudiedNetwork(RealtimeNetwork):
    """As `RealtimeNetwork`, with the encoder of a `StudiedConfig`.

    The least-squares displacement is taken from the linear part, as in the network that it is compared with.
    """

    def __init__(self, config: StudiedConfig) -> None:
        super().__init__(config)
        self.encoder_blocks = config.encoder_blocks
        self.branches = config.branches
        if config.branches == 1:
            # The texture is an encoding by the motion's kernels.
            del self.texture_encoder
            merge, *blocks = self.decoder.children()
            assert isinstance(merge, nn.Conv2d)
            inputs = merge.in_channels - config.texture_channels + config.shape_channels
            merge = nn.Conv2d(
                inputs, config.decoder_channels, 3, config.decoder_scale // config.encoder_stride, 1
            )
            self.decoder = nn.Sequential(merge, *blocks)
        self.motion_blocks = _deep(config.shape_channels, config.encoder_blocks)
        if config.branches == 2:
            self.texture_blocks = _deep(config.texture_channels, config.encoder_blocks)

    def texture(self, frame: Tensor) -> Tensor:
        """Texture of a frame, shapes as in `RealtimeNetwork`."""
        texture: Tensor = (
            self.motion_blocks(self.motion(frame - 0.5))
            if self.branches == 1
            else self.texture_blocks(super().texture(frame))
        )
        return texture

    def decode_pair(self, frame: Tensor, difference: Tensor, amplification: Tensor) -> Decoded:
        """Decoder output, as in `RealtimeNetwork`; a non-linear encoder subtracts the features of two frames."""
        if not self.encoder_blocks:
            return super().decode_pair(frame, difference, amplification)
        gain = (amplification - 1.0).reshape(-1, 1, 1, 1)  # (B, 1, 1, 1)
        linear = self.motion(difference)  # (B, C, h, w)
        motion = self.motion_blocks(self.motion(frame - 0.5)) - self.motion_blocks(
            self.motion(frame - difference - 0.5)
        )
        halfway = frame - 0.5 * difference
        equations = self.flow.equations(halfway, linear, gain, self.shape_encoder.weight, frame)
        return self.decode_features(frame, motion, equations)


def _deep(channels: int, blocks: int) -> nn.Module:
    return (
        nn.Sequential(nn.ReLU(), *(ResidualBlock(channels) for _ in range(blocks)))
        if blocks
        else nn.Identity()
    )
