"""Time and memory of one graph at one size, in its own process: ``python -m tremorscope.export.timing.step``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine


def measure(graph: Path, width_px: int, height_px: int, steps: int) -> dict[str, list[float]]:
    """Time ``steps`` steps in ms after one that allocates, and the peak memory of the process in MiB."""
    engine = OnnxRuntimeEngine(graph, width_px=width_px, height_px=height_px)
    rng = np.random.default_rng(0)
    frame, reference = rng.integers(0, 256, (2, height_px, width_px, 3), dtype=np.uint8)
    magnified = np.empty_like(frame)
    engine.step(frame, reference, 10.0, magnified)
    times_ms = []
    for _ in range(steps):
        start = time.perf_counter()
        engine.step(frame, reference, 10.0, magnified)
        times_ms.append(1e3 * (time.perf_counter() - start))
    return {"step_ms": times_ms, "peak_memory_mib": [_peak_memory_mib()]}


def _peak_memory_mib() -> float:
    # Not getrusage: its figure outlives exec and would be the parent's.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), *(int(value) for value in sys.argv[2:5]))))
