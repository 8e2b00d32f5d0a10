"""Temperatures and throttling of the device, from the kernel's files under /sys.

Thermal zones and cooling devices: Documentation/ABI/testing/sysfs-class-thermal of Linux. The counters
``oc*_event_cnt`` are those of Jetson's soctherm driver: 1 under-voltage, 2 average over-current, 3 instantaneous.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from tremorscope.runtime.host.files import kernel_entries, kernel_number, kernel_text

_BELIEVABLE_C = (-40.0, 150.0)
"""Plausible range; a zone that is switched off reads nothing, or a value outside."""
_HOLDS_BACK = re.compile(r"cpufreq|devfreq|throttl|processor", re.IGNORECASE)
"""Types of cooling devices that slow the device down, unlike a fan."""
_COUNTER = re.compile(r"(oc\d+)_event_cnt")
_ACTED_ON = {"oc1": "under-voltage", "oc2": "over-current"}
"""oc3 is left out: short peaks of power count there by the thousand on a sound device under load."""


@dataclass(frozen=True)
class ThermalReading:
    """Temperatures and throttling at one moment."""

    temperature_c: float | None
    """The hottest zone; None where none gives a believable reading."""
    zone: str = ""
    """Name of the hottest zone."""
    throttled: tuple[str, ...] = ()
    """Causes of throttling at present: names of cooling devices, and of limits just met."""
    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    """Every zone that gives a believable reading."""
    limit_events: Mapping[str, int] = field(default_factory=dict)
    """Events since the first reading by limit of voltage or current: oc1, oc2, oc3."""

    def __str__(self) -> str:
        heat = (
            "no temperature" if self.temperature_c is None else f"{self.zone} at {self.temperature_c:.1f} °C"
        )
        return f"{heat}, held back by {', '.join(self.throttled)}" if self.throttled else heat


def reading_of(
    temperatures_c: Mapping[str, float],
    zones: tuple[str, ...] = (),
    throttled: tuple[str, ...] = (),
    limit_events: Mapping[str, int] | None = None,
) -> ThermalReading:
    """A reading of the zones that count; without names, of all that are believable.

    A zone at exactly 0 is one whose sensor is not connected.
    """
    low_c, high_c = _BELIEVABLE_C
    believable = {name: t for name, t in temperatures_c.items() if low_c <= t <= high_c and t != 0}
    counted = {name: t for name, t in believable.items() if not zones or name in zones}
    hottest = max(counted, key=counted.__getitem__, default="")
    return ThermalReading(counted.get(hottest), hottest, throttled, believable, dict(limit_events or {}))


class SysfsThermometer:
    """Reads /sys, below a root that a test may choose. What cannot be read is left out."""

    def __init__(self, zones: tuple[str, ...] = (), root: Path = Path("/")) -> None:
        self._zones = zones
        self._thermal = root / "sys/class/thermal"
        self._hwmon = root / "sys/class/hwmon"
        self._counts_first: dict[Path, int] = {}
        self._counts_before: dict[Path, int] = {}

    def read(self, jtop_c: Mapping[str, float] = MappingProxyType({})) -> ThermalReading:
        """Temperatures and throttling now.

        Args:
            jtop_c: temperatures from jtop; they override the kernel's, under the kernel's names, and keep their own
                where the kernel gives none.
        """
        temperatures_c = self._zones_c()
        by_stem = {re.split("[-_]", name)[0]: name for name in temperatures_c}
        if by_stem:
            temperatures_c |= {by_stem[name]: value for name, value in jtop_c.items() if name in by_stem}
        else:
            temperatures_c = dict(jtop_c)
        events, met = self._limits()
        return reading_of(temperatures_c, self._zones, tuple(dict.fromkeys((*self._cooling(), *met))), events)

    def _zones_c(self) -> dict[str, float]:
        """Temperature of every zone that can be read; one whose part of the chip is switched off answers EAGAIN."""
        temperatures_c = {}
        for zone in kernel_entries(self._thermal, "thermal_zone*"):
            millidegrees = kernel_number(zone / "temp")
            if millidegrees is not None:
                temperatures_c[kernel_text(zone / "type") or zone.name] = millidegrees / 1000
        return temperatures_c

    def _cooling(self) -> list[str]:
        """Cooling devices that slow the device down now."""
        names = []
        for device in kernel_entries(self._thermal, "cooling_device*"):
            kind = kernel_text(device / "type")
            if kind and _HOLDS_BACK.search(kind) and (kernel_number(device / "cur_state") or 0) > 0:
                names.append(kind)
        return names

    def _limits(self) -> tuple[dict[str, int], list[str]]:
        """Events of each limit since the first reading, and the limits that were met since the latest."""
        events: dict[str, int] = {}
        met: list[str] = []
        counters = (
            path
            for each in kernel_entries(self._hwmon, "hwmon*")
            for path in kernel_entries(each, "oc*_event_cnt")
        )
        for path in counters:
            name, count = _COUNTER.fullmatch(path.name), kernel_number(path)
            if name is None or count is None:
                continue
            first = self._counts_first.setdefault(path, count)
            before = self._counts_before.get(path, count)
            self._counts_before[path] = count
            events[name[1]] = events.get(name[1], 0) + max(0, count - first)
            if count > before and name[1] in _ACTED_ON:
                met.append(_ACTED_ON[name[1]])
        return events, met
