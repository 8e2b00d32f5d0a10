"""What networks cost, side by side in one run: operations, parameters, time a frame, peak memory.

Each measurement runs in a process of its own, which is the only way to know its peak memory; the networks take
turns, so that a change in the machine's load falls on all of them alike.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from export.bundle import untrained_source, write_bundle
from export.errors import ExportFault
from model.cost import macs_per_pixel, parameter_count
from runtime.engines.bundle import FrameSize


@dataclass(frozen=True)
class Cost:
    """The cost of one network at one frame size on this machine's CPU."""

    network: str
    width_px: int
    height_px: int
    kmac_per_pixel: float
    parameters: int
    step_ms: float
    """Median over all rounds."""
    peak_memory_mib: float
    """Of the whole process: interpreter, runner and network."""

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return 1000.0 / self.step_ms

    def as_json(self) -> dict[str, float | str]:
        """Plain values."""
        return {**asdict(self), "rate_hz": round(self.rate_hz, 3)}


def measure_costs(
    families: Sequence[str],
    sizes: Sequence[FrameSize],
    rounds: int,
    steps: int,
    report: Callable[[str], None],
) -> list[Cost]:
    """Measure every family at every size: ``rounds`` turns of ``steps`` steps each on ONNX Runtime."""
    costs: list[Cost] = []
    with tempfile.TemporaryDirectory() as temporary:
        graphs: dict[str, Path] = {}
        counted: dict[str, tuple[float, int]] = {}
        for family in families:
            report(f"exporting {family}")
            source = untrained_source(family)  # weights do not change the cost
            write_bundle(source, None, Path(temporary) / family)
            graphs[family] = Path(temporary) / family / "pairwise.onnx"
            counted[family] = macs_per_pixel(source.network) / 1e3, parameter_count(source.network)
        for size in sizes:
            times_ms: dict[str, list[float]] = {family: [] for family in families}
            memory_mib = dict.fromkeys(families, 0.0)
            for turn in range(rounds):
                for family in families:
                    report(f"{family} at {size.width_px}x{size.height_px}, turn {turn + 1} of {rounds}")
                    found = _measure_in_process(graphs[family], size, steps)
                    times_ms[family] += found["step_ms"]
                    memory_mib[family] = max(memory_mib[family], found["peak_memory_mib"][0])
            costs += [
                Cost(
                    network=family,
                    width_px=size.width_px,
                    height_px=size.height_px,
                    kmac_per_pixel=round(counted[family][0], 1),
                    parameters=counted[family][1],
                    step_ms=round(statistics.median(times_ms[family]), 2),
                    peak_memory_mib=round(memory_mib[family], 1),
                )
                for family in families
            ]
    return costs


def _measure_in_process(graph: Path, size: FrameSize, steps: int) -> dict[str, list[float]]:
    command = [
        sys.executable,
        "-m",
        "export.step_timing",
        str(graph),
        str(size.width_px),
        str(size.height_px),
        str(steps),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise ExportFault(
            f"measuring at {size.width_px}x{size.height_px} failed ({lines[-1] if lines else 'killed'})",
            remedy="choose a smaller size or free memory",
        )
    found: dict[str, list[float]] = json.loads(done.stdout)
    return found
