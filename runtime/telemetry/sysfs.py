"""The kernel's own files as a source of telemetry: clocks of a Jetson, power by rail, and load. They need no
service, no library and no rights.

Sources: "Power Management" in NVIDIA's Jetson Linux Developer Guide; the files that jetson-stats reads, found in its
source (rbonghi/jetson_stats, jtop/core: gpu.py, memory.py, engine.py, jetson_clocks.py), whose facts are given here.

INA3221 and INA238: Documentation/hwmon of Linux, and "Power Consumption Monitoring" in NVIDIA's Jetson Linux Developer
Guide. RAPL: Documentation/power/powercap. Volts are stated in mV, amperes in mA, power in uW, energy in uJ.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from tremorscope.runtime.host.files import (
    default_power_mode,
    kernel_entries,
    kernel_number,
    kernel_text,
    power_mode_number,
    power_modes,
)
from tremorscope.runtime.host.thermal import SysfsThermometer, ThermalReading
from tremorscope.runtime.telemetry import load
from tremorscope.runtime.telemetry.reading import EngineReading, Reading

_DEVFREQ = "sys/class/devfreq"
_GPU_NODE = re.compile(r"gpu-gpc-\d+|.*\.(gpu|ga10b|gb10b|gv11b|gp10b)")
"""17000000.gpu on Orin (ga10b up to JetPack 5), gpu-gpc-0 on Thor. A number in front is an address."""
_ENGINE_NODE = re.compile(r".*\.(nvenc|nvdec|nvjpg|vic|ofa)|gpu-(nvd)-\d+")
"""154c0000.nvenc and so on; on Thor one clock, gpu-nvd-0, drives NVENC, NVDEC and NVJPG."""
_EMC_CLOCKS = (
    ("sys/kernel/debug/bpmp/debug/clk/emc", "rate", "max_rate"),
    (f"{_DEVFREQ}/bwmgr", "cur_freq", "max_freq"),
)
"""The first for root alone, as all of debugfs; the second since JetPack 7, for everybody."""
_EMC_ACTIVITY = (
    "sys/kernel/debug/cactmon/mc_all",
    "sys/kernel/debug/bpmp/debug/actmon/mc_all_avg_activity",
    "sys/kernel/actmon_avg_activity/mc_all",
)
"""Used bandwidth in per cent times kHz; the first two for root alone."""


def gpu(root: Path) -> dict[str, Any]:
    """Load and clock of the GPU, as fields of `Reading`. Thor's load is given by NVML alone, not by a file."""
    node = _gpu_node(root)
    if node is None:
        return {}
    tenths = kernel_number(node / "device/load")
    return {
        "gpu_load_ratio": None if tenths is None else min(1.0, max(0.0, tenths / 1000)),
        "gpu_frequency_hz": _hz(node / "cur_freq"),
        "gpu_frequency_max_hz": _hz(node / "max_freq"),
    }


def emc(root: Path) -> dict[str, Any]:
    """Load and clock of the memory (EMC), as fields of `Reading`. Without a clock the load is unknown."""
    for place, current, most in _EMC_CLOCKS:
        frequency_hz = _hz(root / place / current)
        if frequency_hz is None:
            continue
        activity = next((a for each in _EMC_ACTIVITY if (a := kernel_number(root / each)) is not None), None)
        return {
            "emc_load_ratio": None if activity is None else min(1.0, activity / (frequency_hz / 1000) / 100),
            "emc_frequency_hz": frequency_hz,
            "emc_frequency_max_hz": _hz(root / place / most),
        }
    return {}


def engines(root: Path) -> dict[str, EngineReading]:
    """The units for pictures, by name; a second one of a kind is numbered 1."""
    found: dict[str, EngineReading] = {}
    for node, name in _engine_nodes(root):
        status = kernel_text(node / "device/power/runtime_status")
        engine = EngineReading({"active": True, "suspended": False}.get(status), _hz(node / "cur_freq"))
        if engine != EngineReading():
            count = sum(re.sub(r"\d+$", "", each) == name for each in found)
            found[f"{name}{count or ''}"] = engine
    return found


def power_mode(root: Path) -> str | None:
    """Name of nvpmodel's mode; before the first change there is no status, and the default holds."""
    mode = power_mode_number(root)
    if mode is None and (mode := default_power_mode(root)) is None:
        return None
    return power_modes(root).get(mode, f"mode {mode}")


def clocks_are_held(root: Path) -> bool | None:
    """Return True if `jetson_clocks` holds the clocks of GPU and all cores; None where this is no Jetson."""
    node = _gpu_node(root)
    if node is None:
        return None
    policies = kernel_entries(root / "sys/devices/system/cpu/cpufreq", "policy*")
    limits = [(kernel_number(node / "min_freq"), kernel_number(node / "max_freq"))]
    limits += [
        (kernel_number(each / "scaling_min_freq"), kernel_number(each / "scaling_max_freq"))
        for each in policies
    ]
    known = [(low, high) for low, high in limits if low is not None and high is not None]
    return all(low == high for low, high in known) if known else None


def _gpu_node(root: Path) -> Path | None:
    return next(
        (node for node in kernel_entries(root / _DEVFREQ, "*") if _GPU_NODE.fullmatch(node.name)), None
    )


def _engine_nodes(root: Path) -> Iterator[tuple[Path, str]]:
    for node in kernel_entries(root / _DEVFREQ, "*"):
        matched = _ENGINE_NODE.fullmatch(node.name)
        if matched:
            yield node, (matched[1] or matched[2]).upper()


def _hz(path: Path) -> float | None:
    """Frequency in Hz; None for 0, which a clock that is switched off reports."""
    value = kernel_number(path)
    return float(value) if value else None


_CHANNELS = (1, 2, 3)
"""Channels of an INA3221; further inputs are shunt voltages, and the seventh, which has a label too, is their sum."""
_NOT_CONNECTED = "NC"


def monitored_w(root: Path) -> dict[str, float]:
    """Power of each rail that a chip on the board measures, in watts."""
    rails_w: dict[str, float] = {}
    for monitor in kernel_entries(root / "sys/class/hwmon", "hwmon*"):
        kind = kernel_text(monitor / "name")
        if kind == "ina3221":
            rails_w.update(_channels_w(monitor))
        elif kind == "ina238":
            _add(rails_w, kernel_text(monitor / "label") or "VIN", kernel_number(monitor / "power1_input"))
        elif kind == "power_meter":
            _add(rails_w, "system", kernel_number(monitor / "power1_average"))
    return rails_w


def _channels_w(monitor: Path) -> Iterator[tuple[str, float]]:
    for channel in _CHANNELS:
        label = kernel_text(monitor / f"in{channel}_label")
        if not label or _NOT_CONNECTED in label:
            continue
        # A channel that is switched off answers ENODATA.
        millivolts = kernel_number(monitor / f"in{channel}_input")
        milliamperes = kernel_number(monitor / f"curr{channel}_input")
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
        for zone in kernel_entries(self._zones, "intel-rapl:*"):
            name, energy_uj = self._name(zone), kernel_number(zone / "energy_uj")
            if not name or energy_uj is None:
                continue
            now_s = self._clock()
            then_s, before_uj = self._before.get(zone, (now_s, energy_uj))
            self._before[zone] = now_s, energy_uj
            if now_s > then_s:
                used_uj = energy_uj - before_uj
                if used_uj < 0:  # the counter has begun anew
                    used_uj += kernel_number(zone / "max_energy_range_uj") or 0
                domains_w[name] = max(0, used_uj) / 1e6 / (now_s - then_s)
        return domains_w

    @staticmethod
    def _name(zone: Path) -> str:
        """Name of a domain that no other contains: packages, the memory of each, and the whole platform."""
        name, is_part = kernel_text(zone / "name"), zone.name.count(":") > 1
        if not is_part:
            return name
        return (
            f"{kernel_text(zone.parent / zone.name.rpartition(':')[0] / 'name')} dram"
            if name == "dram"
            else ""
        )


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
            engines=engines(root),
            power_mode=power_mode(root),
            jetson_clocks=clocks_are_held(root),
            **gpu(root),
            **emc(root),
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
