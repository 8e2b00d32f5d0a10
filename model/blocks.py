"""What both families of networks are made of."""

from __future__ import annotations

from typing import Literal, NamedTuple

from torch import Tensor, nn

PaddingMode = Literal["zeros", "reflect"]


class Representation(NamedTuple):
    """What an encoder makes of a frame: B x C x h x w each."""

    texture: Tensor
    shape: Tensor


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), both 3x3, same channels."""

    def __init__(self, channels: int, padding_mode: PaddingMode = "zeros") -> None:
        super().__init__()
        self.conv1 = convolution(channels, channels, 3, padding_mode=padding_mode)
        self.activation: nn.Module = nn.ReLU()
        self.conv2 = convolution(channels, channels, 3, padding_mode=padding_mode)

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> the same."""
        y: Tensor = x + self.conv2(self.activation(self.conv1(x)))
        return y


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding_mode: PaddingMode = "zeros"
) -> nn.Conv2d:
    """Padded so that sizes stay, or are divided by the stride and rounded up."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=padding_mode)
