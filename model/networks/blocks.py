"""What both families of networks are made of."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
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


class GatedActivation(nn.Module):
    """gate relu(x) + (1 - gate) x."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        return x + self.gate * (x.clamp(min=0.0) - x)


class GatedBlock(nn.Module):
    """x + gate f(x), for a residual block x + f(x)."""

    def __init__(self, block: ResidualBlock) -> None:
        super().__init__()
        self.block = block
        self.gate = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        """B x C x h x w -> the same."""
        gated: Tensor = x + self.gate * (self.block(x) - x)
        return gated


def add_gates(network: nn.Module) -> None:
    """Put an open gate (1) at every non-linearity and residual block, in place; the network computes what it did."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, GatedActivation())
            elif isinstance(child, ResidualBlock) and not isinstance(parent, GatedBlock):
                setattr(parent, name, GatedBlock(child))


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding_mode: PaddingMode = "zeros"
) -> nn.Conv2d:
    """Padded so that sizes stay, or are divided by the stride and rounded up."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=padding_mode)
