"""Cost of networks side by side in one run: operations, parameters, time a frame, peak memory.

Each measurement runs in its own process, so that its peak memory can be read; the networks alternate, so that a change
of the machine's load affects all of them alike.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import onnx

from tremorscope.export.bundle import trained_source, untrained_source
from tremorscope.export.graphs.step_graph import pairwise_graph
from tremorscope.model.files import write_atomically
from tremorscope.model.networks.cost import macs_per_pixel, parameter_count
from tremorscope.model.networks.families import CONFIGS
from tremorscope.model.networks.weights import shipped_weights
from tremorscope.runtime.engines.interface.manifest import FrameSize
from tremorscope.runtime.engines.onnx.profile import run_apart

_LIMIT_S = 3600.0


@dataclass(frozen=True)
class NetworkCost:
    """The cost of one network at one frame size on this machine's CPU."""

    network: str
    width_px: int
    height_px: int
    kmac_per_pixel: float
    parameters: int
    step_ms: float
    """Median over all rounds."""
    peak_memory_mib: float
    """Peak memory of the whole process: interpreter, runner and network."""

    @property
    def rate_hz(self) -> float:
        """Frames a second."""
        return 1000.0 / self.step_ms

    @property
    def pixel_ns(self) -> float:
        """Time a pixel: the same at every size where time grows as pixels do."""
        return 1e6 * self.step_ms / (self.width_px * self.height_px)

    def as_json(self) -> dict[str, float | str]:
        """Plain values for JSON."""
        return {**asdict(self), "rate_hz": round(self.rate_hz, 3), "pixel_ns": round(self.pixel_ns, 1)}


def measure_costs(
    models: Sequence[str],
    sizes: Sequence[FrameSize],
    rounds: int,
    steps: int,
    report: Callable[[str], None],
) -> list[NetworkCost]:
    """Measure every network at every size: ``rounds`` turns of ``steps`` steps each on ONNX Runtime.

    Raises:
        WeightsFault: no such network.
        EngineFault: a measurement failed.
    """
    costs: list[NetworkCost] = []
    with tempfile.TemporaryDirectory() as temporary:
        networks = []
        for number, model in enumerate(models):
            report(f"exporting {model}")
            networks.append(_export(model, number, Path(temporary)))
        for size in sizes:
            times_ms: list[list[float]] = [[] for _ in networks]
            memory_mib = [0.0 for _ in networks]
            for turn in range(rounds):
                for number, network in enumerate(networks):
                    report(f"{network.name} at {size.width_px}x{size.height_px}, turn {turn + 1} of {rounds}")
                    found = _measure_in_process(network.graph, size, steps)
                    times_ms[number] += found["step_ms"]
                    memory_mib[number] = max(memory_mib[number], found["peak_memory_mib"][0])
            costs += [
                NetworkCost(
                    network=network.name,
                    width_px=size.width_px,
                    height_px=size.height_px,
                    kmac_per_pixel=round(network.kmac_per_pixel, 1),
                    parameters=network.parameters,
                    step_ms=round(statistics.median(times), 2),
                    peak_memory_mib=round(peak_mib, 1),
                )
                for network, times, peak_mib in zip(networks, times_ms, memory_mib, strict=True)
            ]
    return costs


def cost_table(costs: Sequence[NetworkCost]) -> Iterator[str]:
    """Lines of a table; a network is compared with the first of its size."""
    yield "network        size  kMAC/px  parameters    ms/frame  frames/s   ns/px  peak MiB  cheaper  faster"
    for found in costs:
        base = next(c for c in costs if (c.width_px, c.height_px) == (found.width_px, found.height_px))
        yield (
            f"{found.network:<9} {f'{found.width_px}x{found.height_px}':>9}  {found.kmac_per_pixel:7.1f}  "
            f"{found.parameters:10,}  {found.step_ms:10.1f}  {found.rate_hz:8.2f}  {found.pixel_ns:6.0f}  "
            f"{found.peak_memory_mib:8.0f}  {base.kmac_per_pixel / found.kmac_per_pixel:6.1f}x  "
            f"{base.step_ms / found.step_ms:5.1f}x"
        )


def write_costs(costs: Sequence[NetworkCost], path: Path) -> None:
    """Write the figures as JSON.

    Raises:
        ResultFault: the file cannot be written.
    """
    write_atomically(path, json.dumps([found.as_json() for found in costs], indent=2).encode())


@dataclass(frozen=True)
class _Exported:
    name: str
    graph: Path
    kmac_per_pixel: float
    parameters: int


def _export(model: str, number: int, directory: Path) -> _Exported:
    # Shipped weights before a family of their name, whose defaults are another network.
    is_family = shipped_weights(model) is None and model in CONFIGS
    source = untrained_source(model) if is_family else trained_source(model)
    graph = directory / f"{number}.onnx"
    onnx.save(pairwise_graph(source.network, None), graph)  # unchecked: its pictures are not used
    cost, count = macs_per_pixel(source.network) / 1e3, parameter_count(source.network)
    return _Exported(source.name, graph, cost, count)


def _measure_in_process(graph: Path, size: FrameSize, steps: int) -> dict[str, list[float]]:
    arguments = [str(graph), str(size.width_px), str(size.height_px), str(steps)]
    what = f"measuring at {size.width_px}x{size.height_px} failed"
    found: dict[str, list[float]] = run_apart("tremorscope.export.timing.step", arguments, what, _LIMIT_S)
    return found
