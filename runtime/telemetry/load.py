"""Processor, memory and fans, from files that any Linux has. Documentation: proc(5), sysfs-interface of hwmon."""

from __future__ import annotations

import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tremorscope.runtime.host.files import kernel_entries, kernel_number, kernel_text, meminfo

_FULL_PWM = 255
_IDLE = slice(3, 5)
"""Columns of /proc/stat: idle, and idle while something waits for the disk."""
_COUNTED = 8
"""Columns after these are parts of the first two."""
_SPEEDS = ("fan[1-9]_input", "rpm", "rpm_measured")
"""The first is hwmon's; the others are those of NVIDIA's tachometer drivers."""


class ProcessorClock:
    """Load of the processor between two readings."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before: tuple[int, int] | None = None

    def read(self) -> dict[str, Any]:
        """Load, clock and cores, as fields of `Reading`; the load is not known at the first reading."""
        lines = kernel_text(self._root / "proc/stat").splitlines()
        policies = kernel_entries(self._root / "sys/devices/system/cpu/cpufreq", "policy*")
        clocks_khz = [khz for each in policies if (khz := kernel_number(each / "scaling_cur_freq"))]
        return {
            "cpu_load_ratio": self._load(lines),
            "cpu_frequency_hz": max(clocks_khz) * 1000.0 if clocks_khz else None,
            "cpu_cores": sum(bool(re.match(r"cpu\d", line)) for line in lines) or None,
        }

    def _load(self, lines: list[str]) -> float | None:
        if not lines or not lines[0].startswith("cpu "):
            return None
        columns = [int(each) for each in lines[0].split()[1 : _COUNTED + 1] if each.isdigit()]
        now = sum(columns), sum(columns[_IDLE])
        before, self._before = self._before, now
        # Columns may go back where a core goes offline.
        if before is None or now[0] <= before[0]:
            return None
        return min(1.0, max(0.0, 1 - (now[1] - before[1]) / (now[0] - before[0])))


def resident_bytes() -> int:
    """Resident memory of this process; 0 where the system does not state it."""
    pages = re.match(r"\d+ (\d+)", kernel_text(Path("/proc/self/statm")))
    return int(pages[1]) * mmap.PAGESIZE if pages else 0


def memory(root: Path) -> dict[str, Any]:
    """Memory and swap in bytes, as fields of `Reading`."""
    sizes = meminfo(root)
    return {
        "memory_total_bytes": sizes.get("MemTotal"),
        "memory_used_bytes": _less(sizes, "MemTotal", "MemAvailable"),
        "swap_total_bytes": sizes.get("SwapTotal"),
        "swap_used_bytes": _less(sizes, "SwapTotal", "SwapFree"),
    }


def fans(root: Path) -> dict[str, Any]:
    """Duty and speed of each fan, by name, as fields of `Reading`.

    A Jetson has the pulse width in one device (pwmfan) and the tachometer in another (pwm_tach); where there is one of
    each, they are the same fan.
    """
    duties: dict[str, float] = {}
    speeds: dict[str, float] = {}
    for device in kernel_entries(root / "sys/class/hwmon", "hwmon*"):
        name = kernel_text(device / "name") or device.name
        duties.update(_numbered(device, name, ["pwm[1-9]"], 1 / _FULL_PWM))
        speeds.update(_numbered(device, name, _SPEEDS, 1))
    if len(duties) == len(speeds) == 1:
        speeds = dict(zip(duties, speeds.values(), strict=True))
    return {"fan_duty_ratio": duties, "fan_speed_rpm": speeds}


def _numbered(
    device: Path, name: str, patterns: list[str] | tuple[str, ...], scale: float
) -> dict[str, float]:
    """Readings of a device that has one or several fans, by its name, and a number where there are several."""
    files = [file for pattern in patterns for file in kernel_entries(device, pattern)]
    values = [value for file in files if (value := kernel_number(file)) is not None]
    return {f"{name} {n}" if len(values) > 1 else name: scale * value for n, value in enumerate(values, 1)}


def _less(sizes: Mapping[str, int], total: str, free: str) -> int | None:
    return sizes[total] - sizes[free] if total in sizes and free in sizes else None
