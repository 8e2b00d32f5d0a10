"""A step graph on disk as a function, run by ONNX Runtime on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tremorscope.calibration.pairs.calibration_set import Picture
from tremorscope.model.evaluation.evaluate import Magnifier
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine


def graph_magnifier(path: Path) -> Magnifier:
    """The pairwise graph in a file as a magnifier; it holds one engine, for the last frame size."""
    engines: list[OnnxRuntimeEngine] = []

    def magnify(frame: Picture, reference: Picture, amplification: float) -> Picture:
        height_px, width_px = frame.shape[:2]
        if not engines or (engines[0].height_px, engines[0].width_px) != (height_px, width_px):
            engines[:] = [OnnxRuntimeEngine(path, width_px=width_px, height_px=height_px)]
        magnified = np.empty_like(frame)
        engines[0].step(
            np.ascontiguousarray(frame), np.ascontiguousarray(reference), amplification, magnified
        )
        return magnified

    return magnify
