"""Results of a bench."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.bench.power_and_memory import DeviceTrace, Power
from tremorscope.runtime.bench.roofline import Roofline
from tremorscope.runtime.cameras.supervision.settings import Drops
from tremorscope.runtime.frames.rates import MeasuredRate
from tremorscope.runtime.frames.stage_times import LatencySummary

_CURVE_PARTS = np.concatenate([np.linspace(0, 0.98, 50), 1 - np.geomspace(0.02, 0.001, 14), [1.0]])
"""Parts of all frames at which a stage's distribution is kept, denser where the slow ones are."""


def curve_parts() -> NDArray[np.float64]:
    """The parts, from 0 to 1."""
    return _CURVE_PARTS


@dataclass(frozen=True)
class Overhead:
    """Overhead of the runtime beyond the engine's step; medians over all frames.

    In CPU time of its own threads, so that other load of the machine does not count.
    """

    engine_ms: float
    """Time of the engine's step."""
    loop_ms: float
    """Both halves of the live loop beyond the step: choosing references, leases, hand-overs, counters."""
    supervision_ms: float
    """The camera's supervisor on each frame: checks, counters, the hand-over."""

    @property
    def total_ms(self) -> float:
        """Sum of both."""
        return self.loop_ms + self.supervision_ms

    @property
    def part_of_step(self) -> float:
        """Overhead over the engine's step."""
        return self.total_ms / self.engine_ms if self.engine_ms else 0.0


@dataclass(frozen=True)
class Memory:
    """Memory of the whole process, after the warm-up."""

    resident_bytes: int
    """At the end."""
    peak_bytes: int
    growth_bytes: int
    """From the third quarter of the run to the last."""


@dataclass(frozen=True)
class Copies:
    """Pixels that the CPU copied between camera and engine."""

    bytes_per_frame: float
    by_place: dict[str, float]
    """Bytes a frame, by what copied them."""


@dataclass(frozen=True)
class BaselineComparison:
    """The model's step beside a baseline's, taken in turns."""

    baseline: str
    model_ms: float
    """Median."""
    baseline_ms: float
    turns: int
    speedup: float
    """Median over the turns of baseline over model."""


@dataclass(frozen=True)
class Timeline:
    """Frame by frame, (N,) each."""

    since_s: NDArray[np.float64]
    """Time from the beginning to the finished picture."""
    step_ms: NDArray[np.float64]
    total_ms: NDArray[np.float64]
    resident_at: NDArray[np.int64]
    """Numbers of the frames at which memory was sampled."""
    resident_bytes: NDArray[np.int64]


@dataclass(frozen=True)
class BenchResult:
    """All results of a bench."""

    version: str
    when: str
    """UTC, ISO 8601."""
    device: dict[str, Any]
    bundle: str
    network: str
    precision: str
    trained: bool
    mode: str
    runtime: str
    why: str
    passed_over: tuple[str, ...]
    notes: tuple[str, ...]
    """Remarks on the engines that do not prevent their use."""
    camera: str
    width_px: int
    height_px: int
    frames: int
    """Frames that were magnified and timed."""
    elapsed_s: float
    nominal_rate_hz: float
    stages: dict[str, LatencySummary]
    """By stage; see `runtime.frames.stage_times.STAGES`, and ``copy``."""
    curves_ms: dict[str, list[float]]
    """Times of each stage that the parts `curve_parts` of its frames did not exceed."""
    overhead: Overhead
    memory: Memory
    copies: Copies
    rate: MeasuredRate | None
    """Measured rate of the camera."""
    drops: Drops
    faults: tuple[str, ...]
    """Faults of the camera while this ran."""
    comparison: BaselineComparison | None
    comparison_failed: str
    """Reason why the baseline could not be run; empty if it could."""
    timeline: Timeline = field(repr=False)
    power: Power | None = None
    """None where the device does not measure it."""
    trace: DeviceTrace = field(default_factory=DeviceTrace, repr=False)
    """Readings of the device over the run."""
    roofline: Roofline | None = None
    """Bounds of the stages on this device; None where they were not measured."""

    @property
    def rate_hz(self) -> float:
        """Pictures a second."""
        return self.frames / self.elapsed_s if self.elapsed_s else 0.0

    @property
    def most_rate_hz(self) -> float:
        """Highest rate of pictures that engine and loop could reach with a faster camera."""
        busy_ms = self.overhead.engine_ms + self.overhead.loop_ms
        return 1e3 / busy_ms if busy_ms else 0.0

    @property
    def keeps_up(self) -> bool:
        """True where 98 % of the camera's frames or more were magnified."""
        seen = self.frames + self.drops.late + self.drops.no_slot
        return seen > 0 and self.frames / seen >= 0.98

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        plain = {
            name: getattr(self, name)
            for name in (
                "version", "when", "device", "bundle", "network", "precision", "trained", "mode", "runtime", "why",
                "camera", "width_px", "height_px", "frames", "elapsed_s", "nominal_rate_hz", "rate_hz", "most_rate_hz",
                "keeps_up",
            )
        }  # fmt: skip
        times = self.timeline
        return {
            "format_version": 1,
            **plain,
            "passed_over": list(self.passed_over),
            "notes": list(self.notes),
            "stages": {name: asdict(each) for name, each in self.stages.items()},
            "overhead": {
                **asdict(self.overhead),
                "total_ms": self.overhead.total_ms,
                "part_of_step": self.overhead.part_of_step,
            },
            "memory": asdict(self.memory),
            "copies": asdict(self.copies),
            "rate": asdict(self.rate) if self.rate else None,
            "drops": {**asdict(self.drops), "total": self.drops.total},
            "faults": list(self.faults),
            "comparison": asdict(self.comparison) if self.comparison else None,
            "comparison_failed": self.comparison_failed,
            "heat": self.trace.heat(),
            "power": self.power.as_json() if self.power else None,
            "roofline": self.roofline.as_json() if self.roofline else None,
            "timeline": {
                "since_s": [round(float(each), 6) for each in times.since_s],
                "step_ms": [round(float(each), 4) for each in times.step_ms],
                "total_ms": [round(float(each), 4) for each in times.total_ms],
            },
        }
