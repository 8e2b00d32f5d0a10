"""Cost of a network: multiply-accumulates a pixel and parameters."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from tremorscope.model.networks.families import Network


def macs_per_pixel(network: Network, height_px: int = 128, width_px: int = 128) -> float:
    """Multiply-accumulates of all convolutions for one magnified frame, per pixel of the full-resolution frame.

    Counts all of the pairwise step graph, the reference's encoding included. One MAC is two FLOP. Work done once a
    cell or pixel (window averages, the warp) is left out, as is usual in the field: less than 1 kMAC a pixel.
    """
    frame = torch.zeros(1, 3, height_px, width_px)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network(frame, frame, torch.ones(1))
    return counter.get_total_flops() / 2 / (height_px * width_px)


def parameter_count(network: nn.Module) -> int:
    """Number of trained values."""
    return sum(p.numel() for p in network.parameters())
