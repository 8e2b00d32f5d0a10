"""The constant part of what rounding does to the decoder's output, and how it is taken out.

Rounding errors of many layers add up to noise and to a constant. The constant matters: it is a displacement that a
still scene would show, 0.1 px in a trial. It is the median, over many tiles, of the difference to FP32, and goes into
the bias of the last convolution. After Nagel et al., "Data-free quantization through weight equalization and bias
correction", ICCV 2019, section 4.2; there it is the mean, on which moving edges would bear, and every layer's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from tremorscope.calibration.scales.observation import LastConvolution
from tremorscope.calibration.scales.tiles import Sample
from tremorscope.export.graphs.bias_shift import shifted_bias

_CELLS_A_SAMPLE = 512


def corrected(
    quantised: onnx.ModelProto, layer: str, expected: Sequence[NDArray[np.float32]], samples: Sequence[Sample]
) -> tuple[onnx.ModelProto, NDArray[np.float64]]:
    """A quantised pairwise graph whose last convolution is right in the median, and what was added to its bias.

    Args:
        quantised: the graph.
        layer: its decoder's last convolution.
        expected: what that gives in FP32 for each sample, as `outputs_of` has it.
        samples: what to run it on.
    """
    found = outputs_of(quantised, layer, samples)
    errors = np.concatenate([a - b for a, b in zip(found, expected, strict=True)], axis=1)
    shift: NDArray[np.float64] = -np.median(errors, axis=1).astype(np.float64)
    return shifted_bias(quantised, layer, shift), shift


def outputs_of(graph: onnx.ModelProto, layer: str, samples: Sequence[Sample]) -> list[NDArray[np.float32]]:
    """What a convolution gives for each sample, at some of the cells: C x cells."""
    observer = LastConvolution(graph, layer)
    outputs = []
    for sample in samples:
        inner = sample.inner(observer.observe(sample.frame, sample.reference, sample.amplification))
        cells = inner[0].reshape(inner.shape[1], -1)
        outputs.append(cells[:, :: max(1, cells.shape[1] // _CELLS_A_SAMPLE)])
    return outputs
