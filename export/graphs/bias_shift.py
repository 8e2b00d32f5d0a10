"""Correction of a constant error of a quantised graph, in the bias of a convolution."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper


def shifted_bias(graph: onnx.ModelProto, layer: str, shift: NDArray[np.floating]) -> onnx.ModelProto:
    """The same graph with a number added to each output channel of a convolution.

    Args:
        graph: FP32, FP16 or quantised.
        layer: the convolution's name; it must have a bias, which nothing else reads.
        shift: one number a channel.
    """
    result = onnx.ModelProto()
    result.CopyFrom(graph)
    node = next(each for each in result.graph.node if each.op_type == "Conv" and each.name == layer)
    bias = next(each for each in result.graph.initializer if each.name == node.input[2])
    numbers = numpy_helper.to_array(bias)
    bias.CopyFrom(numpy_helper.from_array((numbers + shift).astype(numbers.dtype), bias.name))
    return result
