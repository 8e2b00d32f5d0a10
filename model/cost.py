"""What a network costs: multiply-accumulates a pixel and parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from model.networks import Network


def macs_per_pixel(network: Network, height_px: int = 128, width_px: int = 128) -> float:
    """Multiply-accumulates of all convolutions for one magnified frame, per pixel of the full-resolution frame.

    Everything counts that the pairwise step graph runs, the reference's encoding included. One MAC is two FLOP.
    """
    total = 0

    def count(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += output[0].numel() * module.weight[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d)]
    frame = torch.zeros(1, 3, height_px, width_px)
    with torch.no_grad():
        network(frame, frame, torch.ones(1))
    for hook in hooks:
        hook.remove()
    return total / (height_px * width_px)


def parameter_count(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in network.parameters())
