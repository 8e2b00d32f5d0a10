"""Clocks of a Jetson: GPU, memory, units for pictures, power mode. Frequencies in Hz; a PC has none of these files.

Sources: "Power Management" in NVIDIA's Jetson Linux Developer Guide; the files that jetson-stats reads, found in its
source (rbonghi/jetson_stats, jtop/core: gpu.py, memory.py, engine.py, jetson_clocks.py), whose facts are given here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tremorscope.runtime.host.kernel_files import (
    default_power_mode,
    entries,
    number,
    power_mode_number,
    power_modes,
    text,
)
from tremorscope.runtime.telemetry.reading import EngineReading

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
    tenths = number(node / "device/load")
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
        activity = next((a for each in _EMC_ACTIVITY if (a := number(root / each)) is not None), None)
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
        status = text(node / "device/power/runtime_status")
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
    policies = entries(root / "sys/devices/system/cpu/cpufreq", "policy*")
    limits = [(number(node / "min_freq"), number(node / "max_freq"))]
    limits += [(number(each / "scaling_min_freq"), number(each / "scaling_max_freq")) for each in policies]
    known = [(low, high) for low, high in limits if low is not None and high is not None]
    return all(low == high for low, high in known) if known else None


def _gpu_node(root: Path) -> Path | None:
    return next((node for node in entries(root / _DEVFREQ, "*") if _GPU_NODE.fullmatch(node.name)), None)


def _engine_nodes(root: Path) -> Iterator[tuple[Path, str]]:
    for node in entries(root / _DEVFREQ, "*"):
        matched = _ENGINE_NODE.fullmatch(node.name)
        if matched:
            yield node, (matched[1] or matched[2]).upper()


def _hz(path: Path) -> float | None:
    """Frequency in Hz; None for 0, which a clock that is switched off reports."""
    value = number(path)
    return float(value) if value else None
