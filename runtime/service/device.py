"""Telemetry of the device: heat every second; power, clocks, load, fans and memory every two, in threads of their
own, so that a file of the kernel that hangs delays nothing else.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from tremorscope.runtime.host.settings import ThermalSettings
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.telemetry import Reading, Telemetry, open_telemetry

T = TypeVar("T")
_STALE_PERIODS, _STALE_S = 5.0, 10.0
"""Age from which a reading is discarded: so many periods, and no less than this."""


class Sampler(Generic[T]):
    """Takes readings at regular intervals; the latest is available without waiting, or None where it is old.

    ``work`` goes into a thread of its own: a reading that hangs, e.g. because a chip does not answer, holds up that
    thread alone, which then ends with the process.
    """

    def __init__(
        self, read: Callable[[], T], every_s: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._every_s, self._clock = read, every_s, clock
        self._stale_s = max(_STALE_PERIODS * every_s, _STALE_S)
        self._stop = threading.Event()
        self._latest: tuple[float, T] | None = None
        self._begun_s: float | None = None

    def work(self) -> None:
        """Take readings until it is closed."""
        while not self._stop.is_set():
            self._begun_s = self._clock()
            try:
                reading = self._read()
            finally:
                self._begun_s = None
            self._latest = self._clock(), reading
            self._stop.wait(self._every_s)

    def close(self) -> None:
        """End after the present reading, without waiting for it."""
        self._stop.set()

    def latest(self) -> T | None:
        """The latest reading; None before the first, and where it is too old."""
        latest = self._latest
        return latest[1] if latest is not None and self._clock() - latest[0] < self._stale_s else None

    def hangs_s(self) -> float:
        """Duration in s of a reading that takes unusually long; 0 where all is well."""
        begun_s = self._begun_s
        late_s = 0.0 if begun_s is None else self._clock() - begun_s
        return late_s if late_s >= self._stale_s else 0.0


_HEAT_S, _READING_S = 1.0, 2.0


class DeviceWatch:
    """Latest readings of the device, available without waiting."""

    def __init__(
        self, settings: ThermalSettings, telemetry: Telemetry | None = None, *, threads: Threads | None = None
    ) -> None:
        self._threads = threads or Threads()
        self._telemetry = telemetry or open_telemetry(settings.source, zones=settings.zones)
        # In two threads, so that a power monitor that does not answer never delays the temperatures.
        self._heat = Sampler(self._telemetry.heat, _HEAT_S)
        self._readings = Sampler(self._telemetry.read, _READING_S)

    def start(self) -> None:
        """Begin to read."""
        # Neither is waited for at the end, and a program error in reading does not end measuring.
        for name, sampler in (("heat", self._heat), ("telemetry", self._readings)):
            self._threads.start(name, sampler.work, again=True, owned=True)

    def heat(self) -> ThermalReading:
        """Temperatures and throttling; without any temperature where nothing is known."""
        return self._heat.latest() or ThermalReading(None)

    def reading(self) -> Reading:
        """Power, clocks, load, fans and memory; empty where nothing is known."""
        return self._readings.latest() or Reading()

    def note(self) -> str:
        """Reason why jtop is not used though it is configured; empty where all is well."""
        return self._telemetry.note()

    def trouble(self) -> str:
        """Human-readable line where a reading hangs; empty otherwise."""
        hanging_s = {"temperatures": self._heat.hangs_s(), "power, clocks and load": self._readings.hangs_s()}
        what = " and ".join(name for name, seconds in hanging_s.items() if seconds)
        since_s = max(hanging_s.values())
        return (
            f"the kernel has not given {what} for {since_s:.0f} s: see dmesg for a chip that hangs"
            if what
            else ""
        )

    def close(self) -> None:
        """End reading; what hangs ends with the process."""
        self._heat.close()
        self._readings.close()
        self._telemetry.close()
