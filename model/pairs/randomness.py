"""Random draws that depend on their generator alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def log_uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    """Values whose logarithms are evenly spread between those of two positive limits."""
    return torch.exp(uniform(rng, shape, math.log(low), math.log(high)))


def uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    """Values evenly spread from low to high."""
    return low + (high - low) * torch.rand(shape, generator=rng)
