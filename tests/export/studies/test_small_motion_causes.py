"""Causes of the dead zone: least squares find small motion under noise, and the network shrinks it."""

from __future__ import annotations

import torch

from tremorscope.export.studies.small_motion_causes import reached
from tremorscope.model.evaluation.scenes import whole_frames
from tremorscope.model.networks.realtime import RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.model.pairs.drawing import draw_picture


def test_the_network_shrinks_small_motion_that_least_squares_find() -> None:
    network = load_weights(find_weights("realtime")).network.eval()
    assert isinstance(network, RealtimeNetwork)
    scene = whole_frames([draw_picture(0, 320)])[0]
    with torch.no_grad():
        small, plain = (reached(network, scene, d, 1.0, 0) for d in (0.01, 0.1))
    assert small["least squares, 5 cells"] > 0.85
    assert small["network"] < small["least squares, 5 cells"] - 0.05
    assert small["its unexplained share of the larger"] > small["network"] + 0.03
    assert plain["network"] > 0.92
