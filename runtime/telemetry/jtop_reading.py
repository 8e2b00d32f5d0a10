"""Conversion of jtop's answers to the names and units of `Reading`. jtop itself is not imported here.

Form and units are those of jetson-stats 7.2.2, read in its source (jtop/jtop.py, jtop/core); 4.x has the same. Its
peculiarities are noted where they matter. Memory and processor are left out: jtop reads the same files of /proc.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tremorscope.runtime.telemetry.reading import EngineReading, Reading

_MEGAHERTZ_BELOW = 100_000
"""NVML gives MHz where all else is in kHz (core/gpu.py), and no GPU runs at less than 100 MHz."""
_ENGINE = re.compile(r"(NVENC|NVDEC|NVJPG|VIC|OFA)\d*")


def reading_of(jetson: Any) -> Reading:
    """A reading from a connected `jtop.jtop`. What is not there, or has another form, is left out."""
    emc = _tree(_tree(jetson.memory).get("EMC"))
    # 1 stands for a clock that could not be read (core/memory.py), and the load is then meaningless.
    emc_khz = _number(emc.get("cur")) or 0
    reading = Reading(
        source="jtop",
        **_gpu(_tree(jetson.gpu)),
        emc_load_ratio=_ratio(emc.get("val")) if emc_khz > 1 else None,
        emc_frequency_hz=emc_khz * 1000 if emc_khz > 1 else None,
        emc_frequency_max_hz=_hz(emc.get("max")),
        **_fans(_tree(jetson.fan)),
        engines=dict(_engines(_tree(jetson.engine))),
        power_mode=_power_mode(jetson.nvpmodel),
        # An object of its own kind that is true or false, or None where there is no such program.
        jetson_clocks=None if jetson.jetson_clocks is None else bool(jetson.jetson_clocks),
    )
    return reading.with_rails(_rails_w(_tree(jetson.power)))


def temperatures_c(jetson: Any) -> dict[str, float]:
    """Temperatures by jtop's names; a sensor that is off reports -256."""
    found = {}
    for name, each in _tree(jetson.temperature).items():
        value = _number(_tree(each).get("temp"))
        if value is not None and _tree(each).get("online"):
            found[str(name)] = value
    return found


def _rails_w(power: Mapping[str, Any]) -> dict[str, float]:
    """Rails in watts. The one that feeds all others is not among jtop's rails: it is the total, and has a name there.

    Without any rail jtop's total is 0, which is not a measurement.
    """
    rails = dict(_tree(power.get("rail")))
    total = _tree(power.get("tot"))
    if "name" in total:
        rails[str(total["name"])] = total
    milliwatts = {str(name): _number(_tree(each).get("power")) for name, each in rails.items()}
    return {name: value / 1000 for name, value in milliwatts.items() if value is not None}


def _gpu(gpus: Mapping[str, Any]) -> dict[str, Any]:
    gpu = next((_tree(each) for each in gpus.values()), {})
    by_nvml = gpu.get("power_control") == "nvml"
    status, frequency = _tree(gpu.get("status")), _tree(gpu.get("freq"))
    load = _ratio(status.get("load"))
    # Where NVML does not know load or clocks, jtop reports 0 (core/gpu.py: DEFAULT_LOAD, DEFAULT_FREQUENCY).
    return {
        "gpu_load_ratio": None if by_nvml and not load else load,
        "gpu_frequency_hz": _hz(frequency.get("cur"), by_nvml),
        "gpu_frequency_max_hz": _hz(frequency.get("max"), by_nvml),
    }


def _fans(fans: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "fan_duty_ratio": dict(_of_each_fan(fans, "speed", 1 / 100)),
        "fan_speed_rpm": dict(_of_each_fan(fans, "rpm", 1)),
    }


def _of_each_fan(fans: Mapping[str, Any], key: str, scale: float) -> Iterator[tuple[str, float]]:
    for name, fan in fans.items():
        stated = _tree(fan).get(key)
        values = [_number(each) for each in stated] if isinstance(stated, (list, tuple)) else []
        for n, value in enumerate(values, 1):
            if value is not None:
                yield (f"{name} {n}" if len(values) > 1 else str(name)), value * scale


def _engines(groups: Mapping[str, Any]) -> Iterator[tuple[str, EngineReading]]:
    """Units for pictures out of all that jtop counts as engines; on Thor those of its group JP."""
    for group in groups.values():
        for name, engine in _tree(group).items():
            state = _tree(engine)
            if _ENGINE.fullmatch(str(name)) and ("online" in state or "cur" in state):
                online = state.get("online")
                active = online if isinstance(online, bool) else None
                yield str(name), EngineReading(active, _hz(state.get("cur")))


def _power_mode(model: Any) -> str | None:
    """Name of the power mode; where `nvpmodel -q` printed nothing, jtop's object raises instead."""
    try:
        return None if model is None else str(model.name)
    except (KeyError, TypeError):
        return None


def _tree(value: Any) -> Mapping[str, Any]:
    """A dictionary, or one of jtop's objects that can be read like one; nothing in place of anything else."""
    return dict(value) if hasattr(value, "keys") else {}


def _number(value: Any) -> float | None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _ratio(percent: Any) -> float | None:
    value = _number(percent)
    return None if value is None else min(1.0, max(0.0, value / 100))


def _hz(kilohertz: Any, by_nvml: bool = False) -> float | None:
    """A frequency in Hz; 0 is none."""
    value = _number(kilohertz) or None
    if value is None:
        return None
    return value * (1e6 if by_nvml and value < _MEGAHERTZ_BELOW else 1e3)
