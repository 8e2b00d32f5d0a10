"""Random draws from an explicit generator."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def log_uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    """Log-uniform values between two positive limits."""
    return torch.exp(uniform(rng, shape, math.log(low), math.log(high)))


def uniform(rng: torch.Generator, shape: Sequence[int], low: float, high: float) -> Tensor:
    """Uniform values from low to high."""
    return low + (high - low) * torch.rand(shape, generator=rng)
