"""The kernel's own files as a source of telemetry: they need no service, no library and no rights."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from tremorscope.runtime.host.thermal import SysfsThermometer, ThermalReading
from tremorscope.runtime.telemetry import clocks, load
from tremorscope.runtime.telemetry.power import EnergyCounters, monitored_w
from tremorscope.runtime.telemetry.reading import Reading


class SysfsTelemetry:
    """Telemetry from files below a root that a test may choose. What cannot be read is left out."""

    def __init__(self, zones: tuple[str, ...] = (), root: Path = Path("/")) -> None:
        self._root = root
        self._thermometer = SysfsThermometer(zones, root)
        self._processor = load.ProcessorClock(root)
        self._counters = EnergyCounters(root)

    def read(self) -> Reading:
        """See `Telemetry.read`."""
        root = self._root
        reading = Reading(
            source="sysfs",
            engines=clocks.engines(root),
            power_mode=clocks.power_mode(root),
            jetson_clocks=clocks.clocks_are_held(root),
            **clocks.gpu(root),
            **clocks.emc(root),
            **self._processor.read(),
            **load.memory(root),
            **load.fans(root),
        )
        return reading.with_rails({**monitored_w(root), **self._counters.read_w()})

    def heat(self, jtop_c: Mapping[str, float] = MappingProxyType({})) -> ThermalReading:
        """See `Telemetry.heat`; ``jtop_c`` are temperatures from jtop, by its names."""
        return self._thermometer.read(jtop_c)

    def note(self) -> str:
        """Always empty: there is no other source to prefer."""
        return ""

    def close(self) -> None:
        """Do nothing: no file stays open between two readings."""
