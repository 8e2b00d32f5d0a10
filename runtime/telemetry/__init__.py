"""Telemetry of the device: power, clocks, load, fans, memory, heat. From jtop, or from the kernel's files."""

from tremorscope.runtime.telemetry.opening import open_telemetry
from tremorscope.runtime.telemetry.reading import EngineReading, Reading, Telemetry

__all__ = ["EngineReading", "Reading", "Telemetry", "open_telemetry"]
