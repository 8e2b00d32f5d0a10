"""Correction of the constant part of rounding errors in the decoder's output, in the bias of a convolution.

Rounding errors of many layers add up to noise and to a constant: a displacement that a still scene would show, 0.1 px
in a trial. It is the median, over many tiles, of the difference to FP32, and is subtracted in the bias of the last
convolution. After Nagel et al., "Data-free quantization through weight equalization and bias
correction", ICCV 2019, section 4.2; there it is the mean, which moving edges would bias, and is taken for every layer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from tremorscope.calibration.scales.observation import LastConvolution
from tremorscope.calibration.scales.tiles import Sample
from tremorscope.export.graphs.qdq import steps_of


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
    constants = {each.name: each for each in result.graph.initializer}
    bias, steps = constants[node.input[2]], constants.get(steps_of(node.output[0]))
    numbers = numpy_helper.to_array(bias)
    if steps is not None:
        shift = np.pad(shift, (0, len(numbers) - len(shift))) / numpy_helper.to_array(steps).ravel()
    bias.CopyFrom(numpy_helper.from_array((numbers + shift).astype(numbers.dtype), bias.name))
    return result


_CELLS_A_SAMPLE = 512


def corrected(
    quantised: onnx.ModelProto, layer: str, expected: Sequence[NDArray[np.float32]], samples: Sequence[Sample]
) -> tuple[onnx.ModelProto, NDArray[np.float64]]:
    """Correct a quantised pairwise graph to a median error of 0 in its last convolution.

    Args:
        quantised: the graph.
        layer: its decoder's last convolution.
        expected: output of that layer in FP32 for each sample, from `outputs_of`.
        samples: tiles to run it on.

    Returns:
        The corrected graph, and the numbers added to the bias, one a channel.
    """
    found = outputs_of(quantised, layer, samples)
    errors = np.concatenate([a - b for a, b in zip(found, expected, strict=True)], axis=1)
    shift: NDArray[np.float64] = -np.median(errors, axis=1).astype(np.float64)
    return shifted_bias(quantised, layer, shift), shift


def outputs_of(graph: onnx.ModelProto, layer: str, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """Output of a convolution for each sample, at some of the cells: C x cells each."""
    observer = LastConvolution(graph, layer)
    outputs = []
    for sample in samples:
        inner = sample.inner(observer.observe(sample.frame, sample.reference, sample.amplification))
        cells = inner[0].reshape(inner.shape[1], -1)
        outputs.append(cells[:, :: max(1, cells.shape[1] // _CELLS_A_SAMPLE)])
    return outputs
