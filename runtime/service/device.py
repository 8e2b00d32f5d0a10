"""Telemetry of the device: heat every second; power, clocks, load, fans and memory every two."""

from __future__ import annotations

from tremorscope.runtime.host.settings import ThermalSettings
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.telemetry import Reading, Telemetry, open_telemetry
from tremorscope.runtime.telemetry.sampling import Sampler

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
