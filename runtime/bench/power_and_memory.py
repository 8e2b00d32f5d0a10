"""Power and energy of the device, and memory of this process and of the system, while something runs."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.host.files import meminfo
from tremorscope.runtime.telemetry import Telemetry, open_telemetry
from tremorscope.runtime.telemetry.load import resident_bytes

_EVERY_S = 0.5


@dataclass(frozen=True)
class Power:
    """Power of the whole device over a run, all other load included."""

    mean_w: float
    most_w: float
    of: str
    """The rail, or the rails that are added up."""
    frames_per_j: float
    """Frames a second for each watt, which is frames a joule."""
    pixel_nj: float
    """Nanojoules for each pixel of a magnified frame."""
    samples: int

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


@dataclass
class DeviceTrace:
    """Readings of the device over a run."""

    power_w: list[float] = field(default_factory=list)
    power_of: str = ""
    temperature_c: list[float] = field(default_factory=list)
    gpu_load: list[float] = field(default_factory=list)
    throttled: set[str] = field(default_factory=set)
    failed: str = ""
    """Reason why the readings ended before the run; empty where they did not."""

    def look(self, telemetry: Telemetry) -> None:
        """Take one reading."""
        reading, heat = telemetry.read(), telemetry.heat()
        if reading.power_w is not None:
            self.power_w.append(reading.power_w)
            self.power_of = reading.power_of
        if heat.temperature_c is not None:
            self.temperature_c.append(heat.temperature_c)
        if reading.gpu_load_ratio is not None:
            self.gpu_load.append(reading.gpu_load_ratio)
        self.throttled |= set(heat.throttled)

    def power(self, rate_hz: float, pixels: int) -> Power | None:
        """Power and energy at a rate of frames of ``pixels`` pixels; None where no power is measured."""
        if not self.power_w or not rate_hz:
            return None
        mean_w = sum(self.power_w) / len(self.power_w)
        return Power(
            mean_w=mean_w,
            most_w=max(self.power_w),
            of=self.power_of,
            frames_per_j=rate_hz / mean_w if mean_w else 0.0,
            pixel_nj=1e9 * mean_w / (rate_hz * pixels),
            samples=len(self.power_w),
        )

    def heat(self) -> dict[str, Any]:
        """Temperature and throttling over the run, as plain values."""
        values_c = self.temperature_c
        return {
            "first_c": values_c[0] if values_c else None,
            "last_c": values_c[-1] if values_c else None,
            "most_c": max(values_c) if values_c else None,
            "throttled": sorted(self.throttled),
        }


@contextmanager
def traced_device(telemetry: Telemetry | None = None, every_s: float = _EVERY_S) -> Iterator[DeviceTrace]:
    """Take readings in a thread while the block runs; what is yielded is complete when it has ended."""
    source = telemetry or open_telemetry()
    trace, stop = DeviceTrace(), threading.Event()

    def run() -> None:
        # Energy counters give the power since the reading before: the first gives none.
        try:
            while not stop.wait(every_s):
                trace.look(source)
        except Exception as error:  # kept in the trace and reported with the result
            trace.failed = f"{type(error).__name__}: {error}"

    source.read()
    thread = threading.Thread(target=run, name="telemetry", daemon=True)
    thread.start()
    begun_s = time.monotonic()
    try:
        yield trace
        if time.monotonic() - begun_s < every_s and not trace.failed:
            trace.look(source)  # a run so short had none
    finally:
        stop.set()
        thread.join(2.0)
        source.close()


_SELF = Path("/proc/self")


def peak_bytes() -> int:
    """Peak resident memory since the start, or since `reset_peak`."""
    # Not getrusage: its figure outlives exec and would be the parent's.
    status = (_SELF / "status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def reset_peak() -> None:
    """Reset the peak, where the kernel allows it."""
    with contextlib.suppress(OSError):
        (_SELF / "clear_refs").write_text("5", encoding="ascii")


class MemoryTrace:
    """Resident memory over a run, sampled at most ``samples`` times, in memory that is made at the start."""

    def __init__(self, frames: int, samples: int = 400) -> None:
        self._every = max(1, -(-frames // samples))
        self._frames = np.zeros(samples + 1, np.int64)
        self._bytes = np.zeros(samples + 1, np.int64)
        self._count = 0

    def look(self, frame: int) -> None:
        """Sample, if it is due; to be called with every frame."""
        if frame % self._every == 0 and self._count < len(self._frames):
            self._frames[self._count], self._bytes[self._count] = frame, resident_bytes()
            self._count += 1

    @property
    def frames(self) -> NDArray[np.int64]:
        """Numbers of the frames at which it was sampled."""
        return self._frames[: self._count]

    @property
    def nbytes(self) -> NDArray[np.int64]:
        """Resident bytes at these frames."""
        return self._bytes[: self._count]

    def growth_bytes(self) -> int:
        """Growth from the third quarter of the run to the last, by medians; 0 if the run was too short."""
        quarter = self._count // 4
        if quarter < 2:
            return 0
        before, last = self.nbytes[-2 * quarter : -quarter], self.nbytes[-quarter:]
        return int(np.median(last) - np.median(before))


_MEMORY_EVERY_S = 0.05
_MIB = 2**20


@dataclass
class MemoryTaken:
    """Peak memory of a block, complete when the block has ended."""

    process_mib: float = 0.0
    """Peak resident memory of the process."""
    system_mib: float = 0.0
    """Largest fall of the system's available memory, caused by any process."""


@contextmanager
def memory_watched() -> Iterator[MemoryTaken]:
    """Measure the peak memory while the block runs."""
    taken, stop = MemoryTaken(), threading.Event()
    before = lowest = _available_bytes()

    def watch() -> None:
        nonlocal lowest
        while not stop.wait(_MEMORY_EVERY_S):
            lowest = min(lowest, _available_bytes())

    reset_peak()
    thread = threading.Thread(target=watch, name="memory", daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        stop.set()
        thread.join()
        taken.process_mib = peak_bytes() / _MIB
        taken.system_mib = max(0, before - min(lowest, _available_bytes())) / _MIB


def _available_bytes() -> int:
    return meminfo().get("MemAvailable", 0)
