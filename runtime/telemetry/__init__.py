"""Telemetry of the device: power, clocks, load, fans, memory, heat. From jtop, or from the kernel's files."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from tremorscope.runtime.telemetry.jtop import SOCKET, JtopLink, JtopTelemetry
from tremorscope.runtime.telemetry.reading import EngineReading, Reading, Telemetry
from tremorscope.runtime.telemetry.sysfs import SysfsTelemetry


def open_telemetry(
    source: Literal["auto", "jtop", "sysfs"] = "auto",
    root: Path = Path("/"),
    zones: tuple[str, ...] = (),
) -> Telemetry:
    """Open a source of telemetry. This never fails: values that are not available are None.

    Args:
        source: sysfs, the kernel's own files; jtop, which is asked first, with a warning where it does not answer;
            auto, the same without a warning.
        root: below which files are looked for; a test may choose it.
        zones: names of the thermal zones that count; empty: all.
    """
    kernel = SysfsTelemetry(zones, root)
    if source == "sysfs":
        return kernel
    asked_for = source == "jtop"
    link = JtopLink(asked_for=asked_for, socket=root / SOCKET.relative_to("/"))
    return JtopTelemetry(kernel, link, asked_for=asked_for)


__all__ = ["EngineReading", "Reading", "Telemetry", "open_telemetry"]
