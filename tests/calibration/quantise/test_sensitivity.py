"""Which layers cost the quality, and what the difference of pixels buys: on the network that is shipped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.judging.judging import Condition
from tremorscope.calibration.pairs.drawn import draw
from tremorscope.calibration.quantise.difference_proof import subtracting_features
from tremorscope.calibration.quantise.sensitivity import Sensitivity, measure_sensitivity, scales_of
from tremorscope.export.studies.runners import graph_magnifier
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.runtime.engines.interface.manifest import FrameSize

onnx = pytest.importorskip("onnx", reason="needs onnx")
from support import ROOT, linear_graph  # noqa: E402

from tremorscope.calibration.scales.observation import Observer  # noqa: E402
from tremorscope.export.graphs.layers import decoder_layers  # noqa: E402
from tremorscope.export.graphs.qdq import LEVELS, input_of  # noqa: E402
from tremorscope.export.graphs.quantised_graph import quantised_graph  # noqa: E402

COARSE = "head.conv"


@pytest.fixture(scope="module")
def fp32() -> onnx.ModelProto:
    return onnx.load(str(ROOT / "runtime" / "bundles" / "realtime" / "pairwise.onnx"))


@pytest.fixture(scope="module")
def scales(fp32: onnx.ModelProto) -> dict[str, float]:
    """Of ranges that hold everything, but for one layer, whose steps are a hundred times too coarse."""
    observer, largest = Observer(fp32), dict.fromkeys(map(input_of, decoder_layers(fp32)), 1e-3)
    for pair in draw(FrameSize(width_px=256, height_px=256), 4):
        for name, values in observer.observe(pair.frame, pair.reference, 10.0).items():
            if name in largest:
                largest[name] = max(largest[name], float(np.abs(values).max()))
    return {name: most / LEVELS * (100 if name == input_of(COARSE) else 1) for name, most in largest.items()}


def test_the_scales_of_a_bundle_are_read_back_from_its_graph(
    fp32: onnx.ModelProto, scales: dict[str, float]
) -> None:
    assert scales_of(quantised_graph(fp32, scales)) == pytest.approx(scales)
    some = list(decoder_layers(fp32))[1:4]
    assert {input_of(layer) for layer in some} <= scales_of(quantised_graph(fp32, scales, some)).keys()


def measure(fp32: onnx.ModelProto, scales: dict[str, float]) -> Sensitivity:
    kept: list[int] = []

    def after_one(_magnify: Magnifier) -> list[str]:
        kept.append(1)
        return [] if len(kept) == 2 else ["too much"]

    return measure_sensitivity(
        fp32, quantised_graph(fp32, scales), [draw_picture(4, 256)], [Condition(0.5, 5.0)], after_one,
        lambda _done, _total: None,
    )  # fmt: skip


def test_a_layer_with_a_wrong_scale_is_named_and_keeping_it_helps_most(
    fp32: onnx.ModelProto, scales: dict[str, float]
) -> None:
    found = measure(fp32, scales)
    assert found.layers[0].layer == COARSE
    assert sum(each.share for each in found.layers) == pytest.approx(1.0)
    nothing, one = found.trials
    assert (nothing.layers, one.layers) == ((), (COARSE,))
    assert one.rms_grey_levels < 0.8 * nothing.rms_grey_levels
    assert found.proposal == one


def test_features_subtracted_lose_small_motion_and_keep_large(fp32: onnx.ModelProto, tmp_path: Path) -> None:
    picture = draw_picture(4, 128)
    (tmp_path / "pixels.onnx").write_bytes(fp32.SerializeToString())
    graph = subtracting_features(fp32, [picture])
    (tmp_path / "features.onnx").write_bytes(graph.SerializeToString())
    pixels, features = (graph_magnifier(tmp_path / f"{name}.onnx") for name in ("pixels", "features"))

    rng = np.random.default_rng(0)
    faint = np.clip(picture + rng.integers(-1, 2, picture.shape), 0, 255).astype(np.uint8)
    strong = np.roll(picture, 2, axis=1)

    def error(frame: np.ndarray, amplification: float) -> float:
        both = (each(frame, picture, amplification).astype(float) for each in (pixels, features))
        first, second = both
        return float(np.abs(first - second).mean())

    assert error(picture, 50.0) == 0.0  # nothing moves: equal roundings cancel
    assert error(faint, 100.0) > 4 * error(strong, 2.0)


def test_a_graph_without_a_difference_of_pixels_is_refused() -> None:
    with pytest.raises(CalibrationFault, match="encodes no difference of pixels"):
        subtracting_features(onnx.load_from_string(linear_graph()), [draw_picture(0, 64)])
