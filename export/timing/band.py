"""Relative cost of band and pairwise mode, in alternating steps: ``python -m tremorscope.export.timing.band``.

CPU time of one thread, so that other load on the machine does not count; only ratios are comparable.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.export.timing.turns import median_ms
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES, Bundle, open_bundle
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeBandEngine, OnnxRuntimeEngine

ORDERS = (1, 2, 3, 4)


def measure(bundle: Bundle, width_px: int, height_px: int, rounds: int) -> dict[str, float]:
    """Median CPU time in ms of a pairwise step, and of a band step by the order of its Butterworth filter."""
    rng = np.random.default_rng(0)
    frame, other = rng.integers(0, 256, (2, height_px, width_px, 3), dtype=np.uint8)
    magnified = np.empty_like(frame)
    pairwise = OnnxRuntimeEngine(
        bundle.graph_path("pairwise"), width_px=width_px, height_px=height_px, threads=1
    )

    def pairwise_step() -> None:
        pairwise.step(frame, other, 10.0, magnified)

    steps: dict[str, Callable[[], None]] = {"pairwise": pairwise_step}
    for order in ORDERS:
        engine = OnnxRuntimeBandEngine(
            bundle.graph_path("band"),
            bundle.representation,
            width_px=width_px,
            height_px=height_px,
            threads=1,
        )
        steps[f"band, order {order}"] = _band_step(engine, order, frame, other, magnified)
    return median_ms(steps, rounds)


def _band_step(
    engine: OnnxRuntimeBandEngine,
    sections: int,
    frame: NDArray[np.uint8],
    previous: NDArray[np.uint8],
    magnified: NDArray[np.uint8],
) -> Callable[[], None]:
    coefficients = np.zeros((3, 2, sections), np.float32)
    coefficients[0], coefficients[2] = 0.9, 0.1
    engine.start(sections)

    def step() -> None:
        engine.step(
            frame,
            previous,
            amplification=10.0,
            max_displacement_px=5.0,
            coefficients=coefficients,
            magnified=magnified,
        )

    return step


def _main(arguments: list[str]) -> None:
    directory = Path(arguments[0]) if arguments else SHIPPED_BUNDLES / "realtime"
    width, _, height = (arguments[1] if len(arguments) > 1 else "640x360").partition("x")
    rounds = int(arguments[2]) if len(arguments) > 2 else 20
    found = measure(open_bundle(directory), int(width), int(height), rounds)
    for name, step_ms in found.items():
        print(f"{name:<14} {step_ms:7.1f} ms  {step_ms / found['pairwise'] - 1:+6.1%}")


if __name__ == "__main__":
    _main(sys.argv[1:])
