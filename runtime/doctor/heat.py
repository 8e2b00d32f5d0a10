"""Probes of temperature and power supply, and of the throttling that they cause."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tremorscope.runtime.doctor.finding import ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.host.thermal import SysfsThermometer

# Not `jetson_clocks --fan`: it sets every clock to its highest as well.
_COOLER = "clean fan and heat sink, or take a power mode of fewer watts"
_FAN = "systemctl status nvfancontrol; sudo nvpmodel -q"
HOT_C = 85.0
"""Temperature near that at which a Jetson throttles; the service takes load off before."""


def heat(machine: Machine) -> ProbeFinding:
    """Probe of the hottest zone, and of thermal throttling."""
    reading = SysfsThermometer(root=machine.root).read()
    if reading.temperature_c is None:
        return not_needed("temperature", "the kernel states none")
    found = f"{reading.temperature_c:.0f} °C at {reading.zone}"
    if reading.throttled:
        slowed = ", ".join(reading.throttled)
        return wrong("temperature", f"{found}; slowed down: {slowed}", f"frames come late: {_COOLER}", _FAN)
    if reading.temperature_c >= HOT_C:
        return wrong("temperature", found, f"the device is about to slow itself down: {_COOLER}", _FAN)
    return ok("temperature", found)


def supply(machine: Machine) -> ProbeFinding:
    """Probe of the count of limits of the supply's voltage or current since the start."""
    counts = {
        _kind(path): machine.number(path) or 0
        for path in machine.glob("/sys/class/hwmon/hwmon*/oc*_event_cnt")
    }
    if not counts:
        return not_needed("power supply", "the kernel counts nothing")
    low, high = counts.get("oc1", 0), counts.get("oc2", 0)
    if low:
        return wrong(
            "power supply",
            f"its voltage fell too low {low} times since the start",
            "frames come late, and the device may stop: use a stronger supply and a thicker cable",
            "grep . /sys/class/hwmon/hwmon*/oc*_event_cnt",
        )
    if high:
        return wrong(
            "power supply",
            f"the device drew too much {high} times since the start",
            "it slows itself down meanwhile: use a stronger supply, or a power mode of fewer watts",
            "sudo nvpmodel -q",
        )
    return ok("power supply", "within its limits since the start")


def _kind(path: str) -> str:
    found = re.match(r"oc\d+", PurePosixPath(path).name)
    return found[0] if found else ""
