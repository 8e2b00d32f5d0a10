"""Building blocks of both network families: residual blocks, gates, convolutions, decoder heads."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

PaddingMode = Literal["zeros", "reflect"]


class FrameRepresentation(NamedTuple):
    """Texture and shape representation of a frame, as an encoder gives them: B x C x h x w each."""

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
        y: Tensor = x + self.conv2(self.activation(self.conv1(x)))  # (B, C, h, w)
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
        gated: Tensor = x + self.gate * (self.block(x) - x)  # (B, C, h, w)
        return gated


class DepthToSpaceHead(nn.Sequential):
    """Cells to pixels in one convolution: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        super().__init__(convolution(channels, outputs * scale * scale, 3), nn.PixelShuffle(scale))


def dilated_convolutions(inputs: int, channels: int, dilations: tuple[int, ...]) -> nn.Sequential:
    """Convolutions of the same resolution, each with its dilation and a ReLU: B x I x h x w -> B x C x h x w.

    Without a way around any of them: beside features that grow with the gain, residual blocks go out.
    """
    layers: list[nn.Module] = []
    for dilation in dilations:
        layers += [convolution(inputs, channels, 3, dilation=dilation), nn.ReLU()]
        inputs = channels
    return nn.Sequential(*layers)


def add_gates(network: nn.Module) -> None:
    """Put an open gate (1) at every non-linearity and residual block, in place; the output stays the same."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, GatedActivation())
            elif isinstance(child, ResidualBlock) and not isinstance(parent, GatedBlock):
                setattr(parent, name, GatedBlock(child))


def convolution(
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    padding_mode: PaddingMode = "zeros",
    dilation: int = 1,
) -> nn.Conv2d:
    """Convolution whose output has the input's size divided by the stride, rounded up."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, padding_mode=padding_mode)
