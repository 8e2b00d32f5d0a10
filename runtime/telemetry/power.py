"""Power by rail, from the kernel's hardware monitors (hwmon) and, on a PC, from the processor's energy counters.

INA3221 and INA238: Documentation/hwmon of Linux, and "Power Consumption Monitoring" in NVIDIA's Jetson Linux Developer
Guide. RAPL: Documentation/power/powercap. Volts are stated in mV, amperes in mA, power in uW, energy in uJ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tremorscope.runtime.host.kernel_files import entries, number, text

_CHANNELS = (1, 2, 3)
"""Channels of an INA3221; further inputs are shunt voltages, and the seventh, which has a label too, is their sum."""
_NOT_CONNECTED = "NC"


def monitored_w(root: Path) -> dict[str, float]:
    """Power of each rail that a chip on the board measures, in watts."""
    rails_w: dict[str, float] = {}
    for monitor in entries(root / "sys/class/hwmon", "hwmon*"):
        kind = text(monitor / "name")
        if kind == "ina3221":
            rails_w.update(_channels_w(monitor))
        elif kind == "ina238":
            _add(rails_w, text(monitor / "label") or "VIN", number(monitor / "power1_input"))
        elif kind == "power_meter":
            _add(rails_w, "system", number(monitor / "power1_average"))
    return rails_w


def _channels_w(monitor: Path) -> Iterator[tuple[str, float]]:
    for channel in _CHANNELS:
        label = text(monitor / f"in{channel}_label")
        if not label or _NOT_CONNECTED in label:
            continue
        # A channel that is switched off answers ENODATA.
        millivolts = number(monitor / f"in{channel}_input")
        milliamperes = number(monitor / f"curr{channel}_input")
        if millivolts is not None and milliamperes is not None:
            yield label, millivolts * milliamperes / 1e6


def _add(rails_w: dict[str, float], name: str, microwatts: int | None) -> None:
    if microwatts is not None:
        rails_w[name] = microwatts / 1e6


class EnergyCounters:
    """The processor's counters of energy (RAPL), as power between two readings. Mostly for root alone."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._zones, self._clock = root / "sys/class/powercap", clock
        self._before: dict[Path, tuple[float, int]] = {}

    def read_w(self) -> dict[str, float]:
        """Mean power since the reading before, by domain, in watts; nothing at the first."""
        domains_w: dict[str, float] = {}
        for zone in entries(self._zones, "intel-rapl:*"):
            name, energy_uj = self._name(zone), number(zone / "energy_uj")
            if not name or energy_uj is None:
                continue
            now_s = self._clock()
            then_s, before_uj = self._before.get(zone, (now_s, energy_uj))
            self._before[zone] = now_s, energy_uj
            if now_s > then_s:
                used_uj = energy_uj - before_uj
                if used_uj < 0:  # the counter has begun anew
                    used_uj += number(zone / "max_energy_range_uj") or 0
                domains_w[name] = max(0, used_uj) / 1e6 / (now_s - then_s)
        return domains_w

    @staticmethod
    def _name(zone: Path) -> str:
        """Name of a domain that no other contains: packages, the memory of each, and the whole platform."""
        name, is_part = text(zone / "name"), zone.name.count(":") > 1
        if not is_part:
            return name
        return f"{text(zone.parent / zone.name.rpartition(':')[0] / 'name')} dram" if name == "dram" else ""
