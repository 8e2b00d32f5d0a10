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


class FineStage(nn.Module):
    """Coarse features brought to a finer resolution and merged with features that are known there, by convolutions."""

    def __init__(self, coarse: int, features: int, channels: int, ratio: int, convolutions: int) -> None:
        super().__init__()
        self.spread = nn.PixelShuffle(ratio) if ratio > 1 else nn.Identity()
        inputs = [coarse // ratio**2 + features] + [channels] * (convolutions - 1)
        self.convs = nn.ModuleList(convolution(count, channels, 3) for count in inputs)
        self.activation = nn.ReLU()

    def forward(self, coarse: Tensor, features: Tensor) -> Tensor:
        """B x C x h/r x w/r and B x F x h x w -> B x N x h x w."""
        rows, columns = features.shape[2:]
        spread = self.spread(coarse)[:, :, :rows, :columns]  # (B, C/r^2, h, w)
        fine = torch.cat((spread, features), dim=1)  # (B, C/r^2 + F, h, w)
        for conv in self.convs:
            fine = self.activation(conv(fine))  # (B, N, h, w)
        return fine


class DepthToSpaceHead(nn.Sequential):
    """Cells to pixels in one convolution: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        super().__init__(convolution(channels, outputs * scale * scale, 3), nn.PixelShuffle(scale))


class UpsampleHead(nn.Sequential):
    """Cells to pixels by repeated upsampling and convolution: B x C x h x w -> B x N x (h scale) x (w scale)."""

    def __init__(self, channels: int, outputs: int, scale: int) -> None:
        layers: list[nn.Module] = []
        while scale > 1:
            layers += [nn.Upsample(scale_factor=2), convolution(channels, channels // 2, 3), nn.ReLU()]
            channels, scale = channels // 2, scale // 2
        super().__init__(*layers, convolution(channels, outputs, 3))


def add_gates(network: nn.Module) -> None:
    """Put an open gate (1) at every non-linearity and residual block, in place; the output stays the same."""
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU):
                setattr(parent, name, GatedActivation())
            elif isinstance(child, ResidualBlock) and not isinstance(parent, GatedBlock):
                setattr(parent, name, GatedBlock(child))


def convolution(
    inputs: int, outputs: int, kernel: int, stride: int = 1, padding_mode: PaddingMode = "zeros"
) -> nn.Conv2d:
    """Convolution whose output has the input's size divided by the stride, rounded up."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, padding_mode=padding_mode)
