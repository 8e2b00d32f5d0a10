"""The networks: what they cost, which sizes they take, and what must hold whatever the weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tremorscope.model.networks.baseline import BaselineConfig, BaselineNetwork
from tremorscope.model.networks.cost import macs_per_pixel, parameter_count
from tremorscope.model.networks.families import build_network, configure, describe
from tremorscope.model.networks.flow import warp
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.studied import StudiedConfig, StudiedNetwork
from tremorscope.model.training.recipe import load_recipe

SMALL = RealtimeConfig(decoder_blocks=1, decoder_channels=16, texture_channels=8, shape_channels=8)


def test_the_baseline_costs_what_oh_et_al_built() -> None:
    baseline = BaselineNetwork()
    assert macs_per_pixel(baseline) == pytest.approx(311e3, rel=0.01)
    assert parameter_count(baseline) == pytest.approx(0.97e6, rel=0.01)


def test_the_realtime_network_costs_a_fraction_of_it() -> None:
    realtime = macs_per_pixel(RealtimeNetwork())
    assert realtime <= 74e3
    assert macs_per_pixel(BaselineNetwork()) / realtime >= 4.2


@pytest.mark.parametrize(
    ("config", "macs"),
    [
        # Encoder; merge of 48 + 32 + 9 channels; blocks; head to 3 colours and 2 displacements; two slopes of 8
        # filters, 8 px longer along the slope.
        (
            RealtimeConfig(decoder_blocks=5),
            (3 * 64 * 80 + 9 * 89 * 64 + 5 * 18 * 64 * 64 + 9 * 64 * 80 + 3 * 128 * 16) / 16,
        ),
        (
            RealtimeConfig(encoder_stride=2, encoder_kernel=6, decoder_blocks=5),
            3 * (36 * 80 + 84 * 16) / 4 + (9 * 89 * 64 + 5 * 18 * 64 * 64 + 9 * 64 * 80) / 16,
        ),
        (
            RealtimeConfig(decoder_scale=8, decoder_blocks=5),
            3 * (64 * 80 + 128 * 16) / 16 + (9 * 89 * 64 + 5 * 18 * 64 * 64 + 9 * 64 * 320) / 64,
        ),
        # Convolutions, and a head to two displacements with weights of six, a mask, trusts and a background; for two
        # layers, in two rounds and at the end, moments of windows of 5 by 5, of each four cells.
        (
            RealtimeConfig(
                skip="layers",
                decoder_channels=56,
                decoder_dilations=(1, 2),
                flow_rounds=2,
                flow_layer_windows_cells=(3,),
                flow_affine_windows_cells=(10,),
            ),
            3 * (64 * 80 + 128 * 16) / 16
            + 9 * 56 * (89 + 56 + (2 * (2 + 6) + 3 + 3 + 6 + 16)) / 16
            + 3 * 2 * 5 * (18 + 32) / 64,
        ),
    ],
)
def test_cost_is_the_sum_of_the_convolutions(config: RealtimeConfig, macs: float) -> None:
    assert macs_per_pixel(RealtimeNetwork(config).eval()) == pytest.approx(macs)


@pytest.mark.parametrize(("recipe", "most_macs"), [("nano", 16e3), ("lite", 30e3), ("realtime", 49e3)])
def test_recipes_of_two_layers_cost_what_they_may(recipe: str, most_macs: float) -> None:
    path = Path(__file__).parents[3] / "configs" / f"train-{recipe}.yaml"
    assert macs_per_pixel(build_network(load_recipe(path).network_config()).eval()) <= most_macs


@pytest.mark.parametrize(("height", "width"), [(64, 64), (61, 83)])
def test_two_layers_go_through_any_size_and_are_still_where_nothing_moves(height: int, width: int) -> None:
    config = RealtimeConfig(
        skip="layers", decoder_channels=8, flow_moving_windows_cells=(3, 5), flow_layer_windows_cells=(3, 5),
        flow_affine_windows_cells=(10,),
    )  # fmt: skip
    network = RealtimeNetwork(config)
    frame = torch.rand(2, 3, height, width)
    once, often = (network(frame, frame, torch.full((2,), each)) for each in (1.0, 200.0))
    assert once.shape == frame.shape
    torch.testing.assert_close(once, often, atol=0, rtol=0)


@pytest.mark.parametrize("scale", [4, 8])
def test_every_member_of_the_family_keeps_the_frame_size(scale: int) -> None:
    config = configure({**describe(SMALL), "decoder_scale": scale})
    frame = torch.rand(2, 3, 33, 46)
    assert build_network(config)(frame, frame, torch.tensor([1.0, 7.0])).shape == frame.shape


@settings(max_examples=20, deadline=None)
@given(height=st.integers(16, 40), width=st.integers(16, 40))
def test_any_size_goes_in_and_comes_out(height: int, width: int) -> None:
    frame, reference = torch.rand(2, 1, 3, height, width)
    for network in (RealtimeNetwork(SMALL), BaselineNetwork(BaselineConfig(8, 1, 1, 1))):
        with torch.no_grad():
            assert network(frame, reference, torch.tensor([3.0])).shape == frame.shape


def test_without_motion_the_amplification_changes_nothing() -> None:
    network = RealtimeNetwork(SMALL)
    frame = torch.rand(1, 3, 32, 48)
    with torch.no_grad():
        once, hundredfold = (network(frame, frame, torch.tensor([a])) for a in (1.0, 100.0))
    assert torch.equal(once, hundredfold)


def test_at_amplification_one_the_reference_changes_nothing() -> None:
    frame, first, second = torch.rand(3, 1, 3, 32, 48)
    network = RealtimeNetwork(SMALL)
    with torch.no_grad():
        assert torch.equal(network(frame, first, torch.ones(1)), network(frame, second, torch.ones(1)))


def test_the_encoder_is_linear_so_the_difference_may_come_first() -> None:
    network = RealtimeNetwork(SMALL).double()
    frame, reference = torch.rand(2, 1, 3, 32, 48, dtype=torch.float64)
    features_subtracted = network.encode(frame).shape - network.encode(reference).shape
    pixels_subtracted = network.shape_encoder(network._pad(frame - reference))
    torch.testing.assert_close(pixels_subtracted, features_subtracted, rtol=0, atol=1e-14)


def test_grey_levels_and_unit_range_are_the_same_computation() -> None:
    frame, reference = (torch.randint(0, 256, (1, 3, 32, 48)).float() for _ in range(2))
    for network in (RealtimeNetwork(SMALL), BaselineNetwork(BaselineConfig(8, 1, 1, 1))):
        with torch.no_grad():
            in_units = 255 * network(frame / 255, reference / 255, torch.tensor([5.0]))
            in_levels = network.magnify_pixels(frame, reference, torch.tensor([5.0]))
        torch.testing.assert_close(in_levels, in_units, rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize("config", [BaselineConfig(channels=16), SMALL, RealtimeConfig(decoder_scale=8)])
def test_a_description_builds_the_same_network_again(config: BaselineConfig | RealtimeConfig) -> None:
    assert configure(describe(config)) == config


@pytest.mark.parametrize(
    ("description", "complaint"),
    [
        ({"family": "wavelet"}, "'wavelet' is unknown"),
        ({}, "None is unknown"),
        ({"family": "realtime", "layers": 3}, "layers"),
        ({"family": "realtime", "decoder_scale": 6}, "multiple of encoder_stride"),
        ({"family": "realtime", "encoder_kernel": 9}, "even number"),
    ],
)
def test_a_wrong_description_is_refused(description: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        configure(description)


@pytest.mark.parametrize(("x_px", "y_px"), [(0.0, 0.0), (3.0, -2.0), (0.5, 0.25)])
def test_a_warp_moves_the_picture_by_the_displacement(x_px: float, y_px: float) -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(56.0), indexing="ij")
    plane = torch.stack((0.01 * x, 0.02 * y, 0.01 * x - 0.01 * y))[None]  # bilinear is exact on planes
    displacement = torch.tensor([x_px, y_px])[None, :, None, None].expand(1, 2, 40, 56)
    moved = torch.stack((0.01 * (x - x_px), 0.02 * (y - y_px), 0.01 * (x - x_px) - 0.01 * (y - y_px)))[None]
    inside = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(warp(plane, displacement)[inside], moved[inside], atol=1e-5, rtol=0)
    if (x_px, y_px) == (0.0, 0.0):
        torch.testing.assert_close(warp(plane, displacement), plane, atol=1e-6, rtol=0)


@pytest.mark.parametrize("shift_px", [(0.05, 0.0), (0.0, 0.4), (-0.3, 0.2)])
def test_least_squares_finds_the_displacement_of_texture(shift_px: tuple[float, float]) -> None:
    def scene(x_px: float, y_px: float) -> torch.Tensor:
        rng = torch.Generator().manual_seed(0)
        y, x = torch.meshgrid(torch.arange(96.0) - y_px, torch.arange(96.0) - x_px, indexing="ij")
        level = torch.zeros(96, 96)
        for angle, period_px, phase in torch.rand(30, 3, generator=rng).tolist():
            along = x * math.cos(6.3 * angle) + y * math.sin(6.3 * angle)
            level += torch.sin(2 * math.pi * along / (12 + 30 * period_px) + 6.3 * phase)
        return (0.5 + 0.02 * level).expand(1, 3, -1, -1)

    network = RealtimeNetwork(RealtimeConfig(decoder_blocks=1))
    frame, reference = scene(*shift_px), scene(0.0, 0.0)
    with torch.no_grad():
        equations = network.flow.equations(
            frame,
            network.motion(frame - reference),
            torch.full((1, 1, 1, 1), 4.0),
            network.shape_encoder.weight,
        )
        displacements, shares = (each[0, ..., 4:-4, 4:-4] for each in network.flow.solve(equations))
    for (x, y), unexplained in zip(displacements, shares, strict=True):
        # Four times the displacement in cells of four pixels is the displacement in pixels.
        assert float((x.median() - shift_px[0]).abs()) < 0.03 * math.hypot(*shift_px)
        assert float((y.median() - shift_px[1]).abs()) < 0.03 * math.hypot(*shift_px)
        assert float(unexplained.median()) < 0.25


@pytest.mark.parametrize(
    ("encoder_blocks", "branches", "is_linear"), [(0, 2, True), (0, 1, True), (1, 2, False), (1, 1, False)]
)
def test_studied_encoders_are_what_they_say(encoder_blocks: int, branches: int, is_linear: bool) -> None:
    torch.manual_seed(0)
    config = StudiedConfig(
        decoder_blocks=1, decoder_channels=16, texture_channels=8, shape_channels=12,
        encoder_blocks=encoder_blocks, branches=branches,  # type: ignore[arg-type]
    )  # fmt: skip
    network = build_network(config).eval()
    assert isinstance(network, StudiedNetwork)
    assert configure(describe(config)) == config
    frame, reference = torch.rand(2, 1, 3, 33, 41).unbind(0)
    with torch.no_grad():
        assert network(frame, reference, torch.tensor([3.0])).shape == frame.shape
        middle, ends = (
            network.texture((frame + reference) / 2),
            network.texture(frame) + network.texture(reference),
        )
        bend = float((middle - ends / 2).abs().max())
        still = network(frame, frame, torch.tensor([1.0])), network(frame, frame, torch.tensor([90.0]))
    assert (bend < 1e-5) is is_linear
    torch.testing.assert_close(*still)
    assert any("texture_encoder" in name for name in network.state_dict()) is (branches == 2)
