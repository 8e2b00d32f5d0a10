"""Which runner is chosen, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from runtime.buffers import FrameRing
from runtime.engines.bundle import open_bundle
from runtime.engines.choosing import open_runtime
from runtime.engines.onnx_runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine


@pytest.mark.parametrize("choice", ["auto", "onnxruntime"])
def test_onnx_runtime_runs_both_graphs(linear_bundle: Path, choice: str) -> None:
    runtime = open_runtime(choice, open_bundle(linear_bundle), width_px=32, height_px=16, threads=1)  # type: ignore[arg-type]
    assert runtime.name == "onnxruntime"
    assert runtime.description.startswith("ONNX Runtime 1.")
    assert runtime.why
    pairwise, band = runtime.open_pairwise(), runtime.open_band()
    assert isinstance(pairwise, OnnxRuntimeEngine)
    assert isinstance(band, OnnxRuntimeBandEngine)
    ring = FrameRing(3, width_px=32, height_px=16, allocate=runtime.allocate)
    frame, reference, magnified = (ring.frame(number) for number in range(3))
    frame[:], reference[:] = 100, 90
    pairwise.step(frame, reference, 5, magnified)
    assert np.unique(magnified).tolist() == [140]
    runtime.close()
    runtime.close()
