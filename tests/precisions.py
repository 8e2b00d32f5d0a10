"""What the tests of precisions share: the shipped network and its graphs, and scales for them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import onnx
import torch

from tremorscope.calibration.scales.observation import Observer
from tremorscope.calibration.scales.scales import Histogram, scale_of
from tremorscope.export.check import _film
from tremorscope.export.graphs.step_graph import pairwise_graph
from tremorscope.export.graphs.tidy import tidy
from tremorscope.model.networks.families import Network
from tremorscope.model.networks.realtime import RealtimeConfig, RealtimeNetwork
from tremorscope.model.networks.weights import find_weights, load_weights
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, open_bundle
from tremorscope.runtime.engines.interface.manifest import GraphName

SHIPPED = SHIPPED_BUNDLES / "realtime"
GRAPHS: tuple[GraphName, ...] = ("pairwise", "band")


@cache
def shipped_network() -> Network:
    return load_weights(find_weights("realtime")).network


@cache
def shipped_graph(name: GraphName, bundle: Path = SHIPPED) -> onnx.ModelProto:
    return onnx.load(open_bundle(bundle).graph_path(name))


@cache
def scales(bundle: Path = SHIPPED) -> dict[str, float]:
    """Of a shipped network on a few small, moving pictures, by the largest values seen."""
    return _observed(shipped_graph("pairwise", bundle))


@cache
def residual_graph() -> onnx.ModelProto:
    """Of an untrained network with residual blocks, such as those that warp a frame once."""
    torch.manual_seed(3)
    return tidy(pairwise_graph(RealtimeNetwork(RealtimeConfig(decoder_blocks=6)).eval(), None))


@cache
def residual_scales() -> dict[str, float]:
    """As `scales`, of `residual_graph`."""
    return _observed(residual_graph())


def _observed(graph: onnx.ModelProto) -> dict[str, float]:
    observer = Observer(graph, threads=1)
    histograms = {name: Histogram.empty() for name in observer.tensors}
    for number, amplification in enumerate((1.0, 20.0, 200.0)):
        frame, reference = _film(97, 64, 0.1, 2 * number), _film(97, 64, 0.0, 2 * number + 1)
        for name, tensor in observer.observe(frame, reference, amplification).items():
            histograms[name].add(tensor)
    return {name: scale_of(histogram, "minmax") for name, histogram in histograms.items()}


def inferred_types(graph: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor by name."""
    inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=True).graph
    types = {
        value.name: value.type.tensor_type.elem_type
        for value in (*inferred.value_info, *inferred.input, *inferred.output)
    }
    return types | {constant.name: constant.data_type for constant in inferred.initializer}


def constants(graph: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: onnx.numpy_helper.to_array(each) for each in graph.graph.initializer}
