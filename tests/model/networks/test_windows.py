"""Means over windows against their definition."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from tremorscope.model.networks.windows import average, weighted_averages


@pytest.mark.parametrize("window", [1, 3, 9, 25])
def test_a_mean_is_that_of_the_cells_within_the_picture(window: int) -> None:
    cells = torch.rand(2, 3, 17, 30, generator=torch.Generator().manual_seed(0))
    whole = F.avg_pool2d(cells, window, 1, window // 2, count_include_pad=False)
    torch.testing.assert_close(average(cells, window), whole, atol=1e-6, rtol=0)


def test_a_weighted_mean_of_what_is_alike_is_that_however_little_it_weighs() -> None:
    """Also where all the weight is far away."""
    weight = torch.full((1, 1, 24, 24), 1e-3)
    weight[..., :4, :4] = 1.0
    alike = torch.tensor([0.3, -2.0]).reshape(1, 2, 1, 1).expand(1, 2, 24, 24)
    for mean in weighted_averages(alike * weight, weight, (3, 5, 9)):
        torch.testing.assert_close(mean, alike, atol=1e-5, rtol=0)
