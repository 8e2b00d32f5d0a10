"""Power of the device during a bench, and energy for a frame and a pixel."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from tremorscope.runtime.telemetry import Telemetry, open_telemetry

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
