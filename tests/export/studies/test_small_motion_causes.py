"""Causes of the dead zone: least squares find small motion under noise, and a network that trusts zero shrinks it."""

from __future__ import annotations

from dataclasses import replace

import torch

from tremorscope.export.studies.small_motion_causes import reached
from tremorscope.model.evaluation.scenes import whole_frames
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.model.pairs.drawing import draw_picture


def test_zero_is_what_small_motion_is_shrunk_to() -> None:
    network = load_weights(find_weights("realtime")).network.eval()
    assert isinstance(network, RealtimeNetwork)
    plain = RealtimeNetwork(replace(network.config, flow_zero_lag=0.0)).eval()
    plain.load_state_dict(network.state_dict())
    scene = whole_frames([draw_picture(0, 320)])[0]
    with torch.no_grad():
        small, shrunk = (reached(each, scene, 0.01, 1.0, 0) for each in (network, plain))
    assert small["least squares, 5 cells"] > 0.85
    assert abs(small["network"] - small["least squares, 5 cells"]) < 0.05
    assert shrunk["network"] < small["least squares, 5 cells"] - 0.05
    assert shrunk["its unexplained share of the larger"] > shrunk["network"] + 0.03
