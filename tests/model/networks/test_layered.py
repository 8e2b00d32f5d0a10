"""What the shipped networks of two layers decide outside training: displacements that vary, and a mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tremorscope.export.studies.runners import network_magnifier
from tremorscope.model.evaluation.evaluate import Conditions
from tremorscope.model.evaluation.scenes import noisy, whole_frames
from tremorscope.model.evaluation.small_motion import signed_displacement_px
from tremorscope.model.evaluation.straightness import judge
from tremorscope.model.evaluation.structures import structures
from tremorscope.model.networks import layered
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.model.pairs.drawing import draw_picture


def ssim(network: RealtimeNetwork, kind: str) -> float:
    """SSIM of one kind of structure over two drawn pictures, .2 px shown as 10 px, noise of a grey level."""
    scenes = structures([draw_picture(seed, 352) for seed in (1, 6)])[kind]
    return judge({"": network_magnifier(network)}, kind, scenes, Conditions(0.2, 10.0, 1.0))[""].ssim


@pytest.mark.parametrize(("kind", "gain"), [("growing disc", 0.015), ("shearing plate", 0.005)])
def test_a_displacement_that_varies_leads_outside_training(kind: str, gain: float) -> None:
    network = load_weights(find_weights("nano")).network
    assert isinstance(network, RealtimeNetwork)
    plain = RealtimeNetwork(replace(network.config, flow_affine_lead=0.0)).eval()
    plain.load_state_dict(network.state_dict())
    assert ssim(network, kind) > ssim(plain, kind) + gain


@pytest.mark.parametrize("name", ["realtime", "lite", "nano"])
def test_a_cable_swings_beside_still_ones_of_its_colour(name: str) -> None:
    """.2 px as 4 px, 16 px beside others: its centre line is where it is to be; once it stayed where it was."""
    scenes = structures([draw_picture(seed, 352) for seed in (1, 6)])["neighbouring cables"]
    magnifier = network_magnifier(load_weights(find_weights(name)).network)
    trial = judge({"": magnifier}, "", scenes, Conditions(0.2, 4.0, 1.0))[""]
    assert trial.centre_line_median_px < 0.5
    assert trial.ssim > 0.8


def test_the_smallest_motion_is_shown_whole() -> None:
    """.01 px at 100 times, noise of a grey level: where zero does not come last less of it is."""
    network = load_weights(find_weights("nano")).network
    assert isinstance(network, RealtimeNetwork)
    plain = RealtimeNetwork(replace(network.config, flow_zero_lag=0.0)).eval()
    plain.load_state_dict(network.state_dict())
    (scene,), rng = whole_frames([draw_picture(6, 352)]), np.random.default_rng(0)
    reference, frame = (noisy(scene.picture(true_px), 1.0, rng) for true_px in (0.0, 0.01))
    reached_px = [
        signed_displacement_px(network_magnifier(each)(frame, reference, 100.0), scene, 0.01, 1.0)
        for each in (network, plain)
    ]
    assert reached_px[0] > 0.85
    assert reached_px[0] > reached_px[1]


def test_a_lead_is_no_part_of_training() -> None:
    """Two of three windows lead, zero lags; weights are those of a network without, and so is what training sees."""
    config = RealtimeConfig(
        skip="layers", decoder_channels=8, flow_windows_cells=(3, 5), flow_layer_windows_cells=(3,),
        flow_affine_windows_cells=(6, 10), flow_all_lag=1.0, flow_affine_lead=2.0, flow_zero_lag=3.0,
    )  # fmt: skip
    network = RealtimeNetwork(config)
    head = network.head
    assert isinstance(head, layered.LayersHead)
    assert list(head.state_dict()) == ["conv.weight", "conv.bias"]
    assert head.ahead.flatten().tolist() == 2 * [0, 0, -1, -1, 0, 2, 2, -3] + 28 * [0]
    frame, reference = torch.rand(2, 1, 3, 24, 24)
    twenty = torch.tensor([20.0])
    seen, shown = network.train()(frame, reference, twenty), network.eval()(frame, reference, twenty)
    head.ahead.zero_()
    again, without = network.train()(frame, reference, twenty), network.eval()(frame, reference, twenty)
    torch.testing.assert_close(again, seen, rtol=0, atol=0)
    assert (without - shown).abs().max() > 1e-4


def test_a_mask_decides_outside_training(monkeypatch: pytest.MonkeyPatch) -> None:
    network = load_weights(find_weights("nano")).network
    assert isinstance(network, RealtimeNetwork)
    decided = ssim(network, "growing disc")
    monkeypatch.setattr(layered, "_decided", lambda _part, *mask: mask)
    assert decided > ssim(network, "growing disc") + 0.001
