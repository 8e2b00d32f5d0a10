"""The constant part of rounding errors is found, whatever moves, and taken out of the bias."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tremorscope.calibration.pairs.drawn import draw
from tremorscope.calibration.scales.correction import corrected, outputs_of, shifted_bias
from tremorscope.calibration.scales.tiles import Sample, Sampling, samples_of
from tremorscope.export.graphs.layers import decoder_layers
from tremorscope.export.graphs.qdq import input_of, output_of
from tremorscope.export.graphs.quantised_graph import quantised_graph_for_cpu
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES
from tremorscope.runtime.engines.interface.manifest import AmplificationRange, FrameSize


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return onnx.load(str(SHIPPED_BUNDLES / "realtime" / "pairwise.onnx"))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    size, amplification = FrameSize(width_px=96, height_px=96), AmplificationRange(minimum=1, maximum=100)
    return [
        sample
        for index, pair in enumerate(draw(size, 4, seed=3))
        for sample in samples_of(pair, index, amplification, Sampling(tile_px=96, tiles_a_pair=1))
    ]


def test_a_constant_error_is_found_and_taken_out(fp32: onnx.ModelProto, samples: list[Sample]) -> None:
    last = decoder_layers(fp32)[-1]
    expected = outputs_of(fp32, last, samples)
    error = np.random.default_rng(0).normal(0.0, 0.1, expected[0].shape[0])
    wrong = shifted_bias(fp32, last, error)
    mended, shift = corrected(wrong, last, expected, samples)
    np.testing.assert_allclose(shift, -error, atol=1e-4)
    for found, wanted in zip(outputs_of(mended, last, samples), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-4)


def test_what_few_cells_get_wrong_shifts_nothing(fp32: onnx.ModelProto, samples: list[Sample]) -> None:
    last = decoder_layers(fp32)[-1]
    expected = outputs_of(fp32, last, samples)
    expected[0][:, : expected[0].shape[1] // 3] += 50.0  # an edge that moved
    _, shift = corrected(fp32, last, expected, samples)
    assert np.abs(shift).max() < 0.02


def test_of_a_convolution_in_steps_of_its_channels_the_error_is_found_in_its_own_units(
    samples: list[Sample],
) -> None:
    fp32 = onnx.load(str(SHIPPED_BUNDLES / "nano" / "pairwise.onnx"))
    last = decoder_layers(fp32)[-1]
    expected = outputs_of(fp32, last, samples)
    steps = np.abs(np.concatenate(expected, axis=1)).max(axis=1) / 100.0
    of_channels = {output_of(last, channel): step for channel, step in enumerate(steps)}
    on_cpu = quantised_graph_for_cpu(fp32, {input_of(last): 0.01} | of_channels, [last])
    before = outputs_of(on_cpu, last, samples)
    _, shift = corrected(shifted_bias(on_cpu, last, 5.0 * steps), last, before, samples)
    np.testing.assert_allclose(shift / steps, -5.0, atol=1.001)
