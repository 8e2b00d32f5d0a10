"""What is to be read from each board of `device_trees`: by its files, and by jtop; and what jtop's service answers.

The form of the answers, and their peculiarities, are those of jetson-stats 7.2.2 (jtop/jtop.py and jtop/core).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tremorscope.runtime.telemetry import EngineReading, Reading

MHZ = 1e6
WORK = EngineReading(True, 115.2 * MHZ)

_ORIN_NANO = Reading(
    source="sysfs",
    power_w=8.2, power_of="VDD_IN",
    rails_w={"VDD_IN": 8.2, "VDD_CPU_GPU_CV": 3.1, "VDD_SOC": 2.2},
    gpu_load_ratio=0.842, gpu_frequency_hz=612 * MHZ, gpu_frequency_max_hz=1020 * MHZ,
    cpu_load_ratio=0.5, cpu_frequency_hz=1728 * MHZ, cpu_cores=6,
    fan_duty_ratio={"pwmfan": 75 / 255}, fan_speed_rpm={"pwmfan": 1786},
    memory_total_bytes=7_802_112 * 1024, memory_used_bytes=(7_802_112 - 4_900_000) * 1024,
    swap_total_bytes=3_901_056 * 1024, swap_used_bytes=101_056 * 1024,
    engines={
        "VIC": WORK, "NVJPG": EngineReading(True, 230.4 * MHZ), "NVDEC": EngineReading(True, 345.6 * MHZ),
        "NVJPG1": EngineReading(False, 460.8 * MHZ),
    },
    power_mode="MAXN_SUPER", jetson_clocks=False,
)  # fmt: skip
BY_FILES = {
    "orin-nano": _ORIN_NANO,
    "orin-nx": replace(
        _ORIN_NANO, cpu_frequency_hz=1984 * MHZ, cpu_cores=8, power_mode="10W",
        engines={"NVENC": WORK, "NVDEC": EngineReading(True, 230.4 * MHZ), "VIC": EngineReading(False, 345.6 * MHZ)},
    ),
    "agx-orin": replace(
        _ORIN_NANO,
        power_w=15.372, power_of="VDDQ_VDD2_1V8AO + VDD_CPU_CV + VDD_GPU_SOC + VIN_SYS_5V0",
        rails_w={"VDD_GPU_SOC": 5.94, "VDD_CPU_CV": 1.98, "VIN_SYS_5V0": 4.968, "VDDQ_VDD2_1V8AO": 2.484},
        gpu_load_ratio=0.0, gpu_frequency_hz=1300.5 * MHZ, gpu_frequency_max_hz=1300.5 * MHZ,
        cpu_frequency_hz=2201.6 * MHZ, cpu_cores=12,
        fan_duty_ratio={"pwmfan": 0.2}, fan_speed_rpm={"pwmfan": 1500},
        memory_total_bytes=64_000_000 * 1024, memory_used_bytes=59_100_000 * 1024,
        engines={"NVENC": WORK, "NVDEC": EngineReading(False, 230.4 * MHZ)},
        power_mode="50W",
    ),
    "thor": replace(
        _ORIN_NANO,
        power_w=23.283, power_of="VIN",
        rails_w={"VDD_GPU": -0.396, "VDD_CPU_SOC_MSS": 6.534, "VIN_SYS_5V0": 6.518016, "VIN": 23.283},
        gpu_load_ratio=None, gpu_frequency_hz=315 * MHZ, gpu_frequency_max_hz=1575 * MHZ,
        emc_frequency_hz=3200 * MHZ, emc_frequency_max_hz=4266 * MHZ,
        cpu_frequency_hz=2601 * MHZ, cpu_cores=14,
        fan_duty_ratio={"pwmfan": 58 / 255},
        memory_total_bytes=128_000_000 * 1024, memory_used_bytes=123_100_000 * 1024,
        engines={"NVD": EngineReading(None, 1215 * MHZ)},
        power_mode="120W",
    ),
}  # fmt: skip
"""From the files that everybody may read, at the second reading; at the first the processor's load is not known."""


def rail(milliwatts: int) -> dict[str, Any]:
    return {
        "volt": 5000,
        "curr": milliwatts // 5,
        "power": milliwatts,
        "avg": milliwatts,
        "online": True,
        "warn": 32760,
    }


def engine(khz: int, online: bool = True) -> dict[str, Any]:
    return {"online": online, "cur": khz, "max": 793600, "min": 115200}


def gpu(name: str, load: float, khz: int, most_khz: int, **more: object) -> dict[str, Any]:
    status = {"railgate": False, "tpc_pg_mask": False, "3d_scaling": True, "load": load}
    freq = {"governor": "nvhost_podgov", "cur": khz, "max": most_khz, "min": 306000, "GPC": [khz]}
    return {name: {"type": "integrated", "status": status, "freq": freq, "power_control": "auto", **more}}


_EMC = {"cur": 3199000, "max": 3199000, "min": 204000, "override": 0, "val": 31, "online": True}
_COMMON: dict[str, Any] = {
    "gpu": gpu("gpu", 84.2, 612000, 1020000),
    "mem": {"RAM": {"tot": 7802112, "used": 4298112}, "SWAP": {"tot": 3901056, "used": 101056}, "EMC": _EMC},
    "engines": {
        "APE": {"APE": {"online": True, "cur": 174000}},
        "NVDEC": {"NVDEC": engine(345600)},
        "NVJPG": {"NVJPG": engine(230400), "NVJPG1": engine(460800, False)},
        "PVA0": {"PVA0_VPS": {"online": False}},
        "VIC": {"VIC": engine(115200)},
    },
    # A sensor that is off says -256, and is not "online".
    "temperature": {
        "cpu": {"temp": 48.75, "online": True}, "cv0": {"temp": -256, "online": False},
        "nvme Composite": {"temp": 71.85, "max": 80.0, "crit": 90.0, "online": True},
    },
    # The rail that feeds all others is the total, and is missing among the rails.
    "power": {"rail": {"VDD_CPU_GPU_CV": rail(3100), "VDD_SOC": rail(2200)}, "tot": {**rail(8200), "name": "VDD_IN"}},
    "fan": {"pwmfan": {"speed": [29.411764705882355], "rpm": [1786], "pwm_enable": [1], "profile": "quiet"}},
    "nvp": {"status": [True] * 3, "thread": False, "model": {"name": "MAXN_SUPER", "id": 2}},
    "jc": {"enable": False, "thread": "inactive", "config": True, "boot": False},
}  # fmt: skip
_AGX_RAILS = {
    "VDD_GPU_SOC": rail(5940), "VDD_CPU_CV": rail(1980), "VIN_SYS_5V0": rail(4968), "VDDQ_VDD2_1V8AO": rail(2484),
}  # fmt: skip
_THOR_RAILS = {"VDD_GPU": rail(-396), "VDD_CPU_SOC_MSS": rail(6534), "VIN_SYS_5V0": rail(6518)}
ANSWERS: dict[str, dict[str, Any]] = {
    "orin-nano": _COMMON,
    "orin-nx": _COMMON | {
        "engines": {
            "NVENC": {"NVENC": engine(115200)}, "NVDEC": {"NVDEC": engine(230400)},
            "VIC": {"VIC": engine(345600, False)},
        },
        "nvp": {"status": [], "thread": False, "model": {"name": "10W", "id": 1}},
    },
    "agx-orin": _COMMON | {
        "gpu": gpu("ga10b", 0.0, 1300500, 1300500),
        "engines": {"NVENC": {"NVENC": engine(115200)}, "NVDEC": {"NVDEC": engine(230400, False)}},
        # Without one that feeds all others the total has no name.
        "power": {"rail": _AGX_RAILS, "tot": {"power": 15372, "avg": 15372}},
        "fan": {"pwmfan": {"speed": [20.0], "rpm": [1500], "profile": "cool"}},
        "nvp": {"status": [], "thread": False, "model": {"name": "50W", "id": 3}},
    },
    "thor": _COMMON | {
        # By NVML, and in MHz where NVML tells the clock; what it does not know is 0.
        "gpu": gpu("Thor", 97.0, 1575, 1575, power_control="nvml"),
        "mem": {"EMC": {"cur": 3200000, "max": 4266000, "min": 665600, "val": 44, "online": True}},
        "engines": {"JP": {"NVENC0": engine(1215000), "NVDEC0": engine(1215000, False), "VIC": {"load": 3}}},
        "power": {"rail": _THOR_RAILS, "tot": {**rail(23283), "name": "VIN"}},
        "fan": {"pwmfan": {"speed": [100 * 58 / 255], "rpm": [1786], "profile": "quiet"}},
        "nvp": {"status": [], "thread": False, "model": {"name": "120W", "id": 1}},
    },
}  # fmt: skip
"""What the service of jtop says of each board, in its own units: mW, kHz, per cent."""

BY_JTOP = {
    board: replace(
        BY_FILES[board], source="jtop",
        emc_load_ratio=0.31, emc_frequency_hz=3199 * MHZ, emc_frequency_max_hz=3199 * MHZ,
    )
    for board in ("orin-nano", "orin-nx", "agx-orin")
} | {
    "thor": replace(
        BY_FILES["thor"], source="jtop",
        rails_w=BY_FILES["thor"].rails_w | {"VIN_SYS_5V0": 6.518},
        gpu_load_ratio=0.97, gpu_frequency_hz=1575 * MHZ, emc_load_ratio=0.44,
        engines={"NVENC0": EngineReading(True, 1215 * MHZ), "NVDEC0": EngineReading(False, 1215 * MHZ)},
    )
}  # fmt: skip
"""The same board where jtop answers: as much at least, under the same names; memory and processor from the files."""
