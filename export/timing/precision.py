"""INT8 beside FP32 on the CPU, alternating: ``python -m tremorscope.export.timing.precision FP32 INT8``.

CPU time of one thread, so that other load on the machine does not count; only ratios are comparable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from tremorscope.export.timing.turns import median_ms
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine

_ROUNDS = 8


def measure(bundles: list[Path], width_px: int, height_px: int, rounds: int = _ROUNDS) -> dict[str, float]:
    """Median CPU time in ms of a pairwise step of each bundle, by its precision."""
    rng = np.random.default_rng(0)
    frame, other = rng.integers(90, 140, (2, height_px, width_px, 3), dtype=np.uint8)
    magnified = np.empty_like(frame)
    steps: dict[str, Callable[[], object]] = {}
    for directory in bundles:
        bundle = open_bundle(directory)
        engine = OnnxRuntimeEngine(
            bundle.cpu_graph_path("pairwise"), width_px=width_px, height_px=height_px, threads=1
        )
        steps[bundle.manifest.precision] = partial(engine.step, frame, other, 10.0, magnified)
    return median_ms(steps, rounds)


def _main(arguments: list[str]) -> None:
    found = measure([Path(each) for each in arguments], 640, 360)
    slowest = next(iter(found.values()))
    for precision, step_ms in found.items():
        print(f"{precision}  {step_ms:7.1f} ms  {slowest / step_ms:5.2f} x as fast")


if __name__ == "__main__":
    _main(sys.argv[1:])
