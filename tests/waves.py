"""A picture whose motion is exact: a sum of waves."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

SIDE_PX = 128


def waves(
    moved_px: tuple[float, float] = (0.0, 0.0), shortest_px: float = 8.0, turned: float = 0.0
) -> Tensor:
    """Grey waves of many directions and periods, moved, or turned about the middle by an angle in radians.

    1 x 3 x 128 x 128, within 0.4 of a half.
    """
    rng = np.random.default_rng(3)
    down, right = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 1) / 2
    x = math.cos(turned) * right + math.sin(turned) * down + (SIDE_PX - 1) / 2
    y = math.cos(turned) * down - math.sin(turned) * right + (SIDE_PX - 1) / 2
    picture = np.zeros((SIDE_PX, SIDE_PX))
    for _ in range(40):
        angle, phase = rng.uniform(0, 2 * math.pi, 2)
        radians_per_px = 2 * math.pi / rng.uniform(shortest_px, 40.0)
        along = (x - moved_px[0]) * math.cos(angle) + (y - moved_px[1]) * math.sin(angle)
        picture += np.sin(radians_per_px * along + phase)
    return torch.from_numpy(0.5 + 0.4 * picture / np.abs(picture).max()).float().expand(1, 3, -1, -1)
