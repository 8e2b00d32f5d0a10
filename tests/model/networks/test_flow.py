"""The displacement that is found without learning, on pictures whose motion is exact: sums of waves."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from waves import SIDE_PX, waves

from tremorscope.model.networks.flow import LeastSquaresFlow, warp
from tremorscope.model.networks.own_cells import OwnCells
from tremorscope.model.networks.slopes import slopes, smooth_kernels

STRIDE = 4
_EDGE = slice(9, -9)
"""Behind the reach of the windows, which are put one on another, and of the slopes."""


@pytest.mark.parametrize(
    ("reach_px", "period_px", "part"),
    [(4, 4, 0.970), (4, 8, 0.9999), (4, 16, 1.0), (6, 3, 1.005), (6, 4, 0.999), (6, 8, 1.0), (6, 16, 1.001)],
)
@pytest.mark.parametrize("axis", [2, 3])
def test_a_wave_has_the_slope_that_it_has(reach_px: int, period_px: int, part: float, axis: int) -> None:
    """By nine pixels three in a hundred are missing at a period of 4 px, by 13 one in two hundred at 3 px."""
    pixel = torch.zeros(1, 3, 8, 8)
    pixel[0, 0, 3, 3] = 1.0  # an encoder that sees one pixel of its 8 x 8
    radians_per_px = 2 * math.pi / period_px
    at = torch.arange(SIDE_PX, dtype=torch.float32).reshape((-1, 1) if axis == 2 else (1, -1))
    picture = (0.5 + 0.1 * torch.sin(radians_per_px * at + 0.3)).expand(1, 3, SIDE_PX, SIDE_PX)
    along_x, along_y = slopes(picture, pixel, STRIDE, reach_px)
    along, across = (along_y, along_x) if axis == 2 else (along_x, along_y)
    # The cell's pixel 3 is a pixel right of the cell's first, for two are padded.
    expected = 0.1 * radians_per_px * torch.cos(radians_per_px * (at + 1) + 0.3).expand(SIDE_PX, SIDE_PX)
    inner = slice(3, -3)
    assert torch.allclose(
        along[0, 0, inner, inner], part * expected[::STRIDE, ::STRIDE][inner, inner], atol=2e-4
    )
    assert across[0, 0, inner, inner].abs().max() < 1e-6


def found_px(
    moved_px: tuple[float, float], picture: Tensor, kernels: Tensor, third_order: bool = False
) -> Tensor:
    """The displacement in the middle of the picture, by the widest window: h x w x 2."""
    flow = LeastSquaresFlow((3, 5, 9), 8, STRIDE, third_order=third_order)
    motion = torch.nn.functional.conv2d(
        torch.nn.functional.pad(waves(moved_px) - waves(), (2, 5, 2, 5)), kernels, stride=STRIDE
    )
    gain = torch.ones(1, 1, 1, 1)
    cells, _ = flow.solve(flow.equations(picture, motion, gain, kernels, waves(moved_px)))
    return STRIDE * cells[0, 2, :, _EDGE, _EDGE].permute(1, 2, 0)


@pytest.mark.parametrize("length_px", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("degrees", [0, 60, 135, 250])
def test_the_displacement_of_exact_motion(length_px: float, degrees: int) -> None:
    moved_px = (length_px * math.cos(math.radians(degrees)), length_px * math.sin(math.radians(degrees)))
    halfway = 0.5 * (waves(moved_px) + waves())
    errors = found_px(moved_px, halfway, smooth_kernels(8)) - torch.tensor(moved_px)
    assert errors.norm(dim=-1).max() < 0.03 * length_px


def test_slopes_halfway_are_worth_more_than_the_frames_own() -> None:
    """At a displacement of one pixel, where the own slopes are twice as far off."""
    moved_px = (0.8, 0.6)
    kernels, truth = smooth_kernels(8), torch.tensor(moved_px)
    halfway, own = (
        (found_px(moved_px, picture, kernels) - truth).norm(dim=-1).mean()
        for picture in (0.5 * (waves(moved_px) + waves()), waves(moved_px))
    )
    assert halfway < 0.6 * own


@pytest.mark.parametrize(("length_px", "freed", "plain"), [(1.0, 0.006, 0.012), (2.0, 0.03, 0.05)])
@pytest.mark.parametrize("degrees", [0, 60, 135, 250])
def test_freed_of_its_third_order_a_displacement_of_pixels_is_not_too_long(
    length_px: float, freed: float, plain: float, degrees: int
) -> None:
    moved_px = (length_px * math.cos(math.radians(degrees)), length_px * math.sin(math.radians(degrees)))
    halfway = 0.5 * (waves(moved_px) + waves())
    mean, mean_plain = (
        (found_px(moved_px, halfway, smooth_kernels(8), third_order) @ torch.tensor(moved_px)).mean()
        / length_px**2
        - 1
        for third_order in (True, False)
    )
    assert abs(mean) < freed
    assert mean_plain > plain


def test_a_layer_measured_over_its_own_cells_is_not_diluted_by_what_stands_still() -> None:
    """Bars 5 px wide, 24 px apart, before still waves: over all cells of a window a fifth of their motion is lost."""
    moved_px = 0.2
    at = torch.arange(SIDE_PX, dtype=torch.float32)

    def bars(displacement_px: float) -> Tensor:
        beside_px = (at - displacement_px + 12.0) % 24.0 - 12.0
        return torch.sigmoid((2.5 - beside_px.abs()) / 0.4).expand(1, 1, SIDE_PX, -1)

    frame, reference = (
        each * 0.2 + (1.0 - each) * waves(shortest_px=4.0) for each in (bars(moved_px), bars(0.0))
    )
    kernels = smooth_kernels(8)
    flow = LeastSquaresFlow((3, 5, 9), 8, STRIDE)
    motion = torch.nn.functional.conv2d(
        torch.nn.functional.pad(frame - reference, (2, 5, 2, 5)), kernels, stride=STRIDE
    )
    equations = flow.equations(0.5 * (frame + reference), motion, torch.ones(1, 1, 1, 1), kernels)
    share = torch.nn.functional.avg_pool2d(bars(moved_px), STRIDE)
    plain = STRIDE * flow.solve(equations)[0][0, 2, 0, _EDGE, _EDGE]
    found = OwnCells(flow, equations, (3, 5, 9), ()).measured(
        torch.cat((share, 1.0 - share, torch.zeros_like(share)), dim=1)
    )
    own, others, nothing = found[0, :, 2, 0, _EDGE, _EDGE]
    assert plain.mean() < 0.85 * moved_px
    assert abs(own.mean() / moved_px - 1.0) < 0.05
    assert abs(others.mean()) < plain.mean()
    torch.testing.assert_close(nothing, plain)


@pytest.mark.parametrize(("height", "width"), [(9, 14), (360, 640)])
def test_a_warp_repeats_the_border(height: int, width: int) -> None:
    """As `grid_sample` does it, which ONNX Runtime computes three times as slowly."""
    rng = torch.Generator().manual_seed(0)
    frame = torch.rand(2, 3, height, width, generator=rng)
    moved_px = 12.0 * (torch.rand(2, 2, height, width, generator=rng) - 0.5)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    at = torch.stack(
        ((2 * (x - moved_px[:, 0]) + 1) / width, (2 * (y - moved_px[:, 1]) + 1) / height), dim=-1
    )
    expected = torch.nn.functional.grid_sample(frame, at - 1.0, padding_mode="border", align_corners=False)
    assert (warp(frame, moved_px) - expected).abs().max() < 2e-4
