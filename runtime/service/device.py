"""Watches over the device itself: heat once a second, and power, clocks, load, fans and memory every other."""

from __future__ import annotations

from tremorscope.runtime.host.settings import ThermalSettings
from tremorscope.runtime.host.thermal import ThermalReading
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.telemetry import Reading, Telemetry, open_telemetry
from tremorscope.runtime.telemetry.sampling import Sampler

_HEAT_S, _READING_S = 1.0, 2.0


class DeviceWatch:
    """The latest readings of the device, which nobody waits for."""

    def __init__(
        self, settings: ThermalSettings, telemetry: Telemetry | None = None, *, threads: Threads | None = None
    ) -> None:
        self._threads = threads or Threads()
        self._telemetry = telemetry or open_telemetry(settings.source, zones=settings.zones)
        # Apart, so that a chip for power that does not answer never hides that the device is hot.
        self._heat = Sampler(self._telemetry.heat, _HEAT_S)
        self._readings = Sampler(self._telemetry.read, _READING_S)

    def start(self) -> None:
        """Begin to read."""
        # Nobody waits for either at the end, and a mistake in reading ends no measuring.
        for name, sampler in (("heat", self._heat), ("telemetry", self._readings)):
            self._threads.start(name, sampler.work, again=True, owned=True)

    def heat(self) -> ThermalReading:
        """How hot the device is; without any temperature where nothing is known."""
        return self._heat.latest() or ThermalReading(None)

    def reading(self) -> Reading:
        """What the device says of itself; empty where nothing is known."""
        return self._readings.latest() or Reading()

    def note(self) -> str:
        """Why jtop tells nothing though it was asked for; empty where all is well."""
        return self._telemetry.note()

    def trouble(self) -> str:
        """A line for a person where a reading hangs; empty otherwise."""
        hanging_s = {"temperatures": self._heat.hangs_s(), "power, clocks and load": self._readings.hangs_s()}
        what = " and ".join(name for name, seconds in hanging_s.items() if seconds)
        since_s = max(hanging_s.values())
        return (
            f"the kernel has not told {what} for {since_s:.0f} s: see dmesg for a chip that hangs"
            if what
            else ""
        )

    def close(self) -> None:
        """End reading; what hangs ends with the process."""
        self._heat.close()
        self._readings.close()
        self._telemetry.close()
