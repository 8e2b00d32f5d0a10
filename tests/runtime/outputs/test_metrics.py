"""The metrics, judged by Prometheus' own parser."""

from __future__ import annotations

import math
import re
from dataclasses import fields, replace

from prometheus_client.parser import text_string_to_metric_families

from tremorscope.runtime.frames.stage_times import LatencySummary
from tremorscope.runtime.health import (
    CameraHealth,
    DeviceHealth,
    Health,
    MagnificationHealth,
    NaturalFrequency,
    RegionHealth,
    ReloadHealth,
    StorageHealth,
)
from tremorscope.runtime.outputs.metrics import Counts, render
from tremorscope.runtime.telemetry import EngineReading, Reading
from tremorscope.runtime.vibration.monitoring.alarms import AlarmRule, AlarmStatus

FREQUENCY = NaturalFrequency(0, 2.1, 0.004, 0.011, 0.0)
READING = Reading(
    source="jtop", power_w=8.2, power_of="VDD_IN", rails_w={"VDD_IN": 8.2, "VDD_SOC": 2.2},
    gpu_load_ratio=0.84, gpu_frequency_hz=612e6, gpu_frequency_max_hz=1020e6,
    emc_load_ratio=0.31, emc_frequency_hz=3199e6, emc_frequency_max_hz=3199e6,
    cpu_load_ratio=0.0, cpu_frequency_hz=1728e6, cpu_cores=6,
    fan_duty_ratio={"pwmfan": 0.29}, fan_speed_rpm={"pwmfan": 0.0},
    memory_total_bytes=8_000_000_000, memory_used_bytes=3_000_000_000, swap_total_bytes=0, swap_used_bytes=0,
    engines={"NVENC": EngineReading(True, 115.2e6), "NVD": EngineReading(None, 1215e6)},
    power_mode="MAXN_SUPER", jetson_clocks=False,
)  # fmt: skip
FULL = Health(
    name='bridge "7"\n\\ north',  # what a label must survive
    version="0.1.0",
    started_s=1_795_000_000.0,
    uptime_s=90.0,
    ready=True,
    frames=2700,
    last_frame_age_s=0.03,
    stages={"measure": LatencySummary(300, 4.0, 5.0, 6.0, 9.0)},
    camera=CameraHealth(
        status="running", faults=("time",), fault_totals={"frozen": 2, "time": 1}, nominal_rate_hz=30.0, rate_hz=29.98,
        jitter_ms=0.3, openings=3, segments=4, drops={"source": 5, "late": 2},
    ),
    magnification=MagnificationHealth(
        active=True, bands_hz=((1.8, 2.4), (4.0, 5.0)), amplification=20.0, frames=100, skipped=3
    ),
    regions=(
        RegionHealth(
            "midspan", 0.08, 0.13, 0.003, 0.99, 0.0, mm_per_px=2.5, scale_relative_sigma=0.01,
            frequencies=(FREQUENCY, replace(FREQUENCY, frequency_hz=4.7, deviation_hz=None)),
        ),
        RegionHealth("pier", trouble="too little texture"),
    ),
    modes=(replace(FREQUENCY, number=1),),
    alarms=(
        AlarmStatus(AlarmRule("sway", "midspan", "rms", 0.2, 0.1, unit="mm"), "raised", 0.25, 1.0, None, None),
        AlarmStatus(AlarmRule("shift", "mode 1", "frequency", 2.0, 1.0), "learning", None, None, None, None),
    ),
    storage=StorageHealth(
        written=10, pending=1, dropped={"bulk": 1}, free_bytes=5_000_000_000, given_up=("previews",), clips={"saved": 2}
    ),
    device=DeviceHealth({"CPU": 51.5}, governor_level=1, throttled=("cpufreq-cpu0",), rss_bytes=300_000_000, cpu_s=12.5,
                        copied_bytes={"magnifier: reference kept": 691_200}, limit_events={"oc1": 3}, reading=READING),
    recoveries={"reopen": 2},
    outputs={"http": "", "mqtt": "no connection"},
    viewers=2,
    reload=ReloadHealth(refused="bad"),
    problems=("a", "b"),
)  # fmt: skip
COUNTS: Counts = {"http_responses": {"2xx": 7}}

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(health: Health, counts: Counts | None = None) -> Samples:
    """All samples as the parser reads them; the same labels twice would be refused by Prometheus."""
    found: Samples = {}
    for family in text_string_to_metric_families(render(lambda: health, lambda: counts or {}).decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, key
            found[key] = sample.value
    return found


def test_every_number_of_the_health_is_there_with_its_unit() -> None:
    found = samples(FULL, COUNTS)

    def value(name: str, /, **labels: str) -> float:
        return found[f"tremorscope_{name}", tuple(sorted(labels.items()))]

    assert value("info", name=FULL.name, version="0.1.0") == 1
    assert value("frames_total") == 2700
    assert value("frame_age_seconds") == 0.03
    assert value("healthy") == 1
    assert value("stage_latency_seconds", stage="measure", quantile="0.99") == 0.006
    assert value("drops_total", reason="late") == 2
    assert value("camera_fault", kind="time") == 1
    assert value("camera_fault", kind="frozen") == 0
    assert value("camera_faults_total", kind="frozen") == 2
    assert value("band_high_hz", band="1") == 5.0
    assert value("displacement_rms_px", region="midspan") == 0.08
    assert math.isclose(value("displacement_rms_mm", region="midspan"), 0.2)
    assert value("scale_sigma_ratio", region="midspan") == 0.01
    assert value("natural_frequency_hz", region="midspan", peak="2") == 4.7
    assert value("mode_frequency_hz", mode="1") == 2.1
    assert value("alarm_raised", alarm="sway", source="midspan", quantity="rms") == 1
    assert value("alarm_threshold", alarm="sway", source="midspan", quantity="rms", unit="mm") == 0.2
    assert value("temperature_celsius", zone="CPU") == 51.5
    assert value("throttled") == value("throttled_by", what="cpufreq-cpu0") == 1
    assert value("limit_events_total", limit="oc1") == 3
    assert value("copied_bytes_total", place="magnifier: reference kept") == 691_200
    assert value("disk_free_bytes") == 5e9
    assert value("given_up", thing="previews") == 1
    assert value("given_up", thing="clips") == 0
    assert value("recoveries_total", rung="reopen") == 2
    assert value("output_ok", output="http") == 1
    assert value("output_ok", output="mqtt") == 0
    assert value("http_responses_total", reason="2xx") == 7


def test_every_field_of_a_reading_is_a_metric_of_its_name() -> None:
    found = samples(FULL)
    labels = {
        "rails_w": ("rail", "rail_power_watts"),
        "fan_duty_ratio": ("fan", ""),
        "fan_speed_rpm": ("fan", ""),
    }
    for field in fields(Reading):
        told = getattr(READING, field.name)
        if field.name in labels:
            label, name = labels[field.name]
            for key, value in told.items():
                assert found[f"tremorscope_{name or field.name}", ((label, key),)] == value
        elif isinstance(told, (int, float)):
            name = "power_watts" if field.name == "power_w" else field.name
            assert found[f"tremorscope_{name}", ()] == told, field.name
    assert found["tremorscope_engine_active", (("engine", "NVENC"),)] == 1
    assert ("tremorscope_engine_active", (("engine", "NVD"),)) not in found
    assert found["tremorscope_engine_frequency_hz", (("engine", "NVD"),)] == 1215e6
    known = (("power_mode", "MAXN_SUPER"), ("power_of", "VDD_IN"), ("source", "jtop"))
    assert found["tremorscope_device_info", known] == 1


def test_what_the_device_does_not_tell_is_no_metric() -> None:
    told = {name for name, _ in samples(replace(FULL, device=DeviceHealth(reading=Reading(source="sysfs"))))}
    new = {name for name, _ in samples(FULL)} - told
    for part in (
        "power_watts",
        "gpu_",
        "emc_",
        "cpu_load",
        "fan_",
        "memory_used",
        "swap_",
        "engine_",
        "jetson_clocks",
    ):
        assert any(name.startswith(f"tremorscope_{part}") for name in new), part
    assert "tremorscope_device_info" in told


def test_what_is_not_known_is_left_out() -> None:
    names = {name for name, _ in samples(FULL)}
    assert ("tremorscope_displacement_rms_px", (("region", "pier"),)) not in samples(FULL)
    empty = {name for name, _ in samples(Health())}
    assert "tremorscope_frame_age_seconds" not in empty
    assert "tremorscope_disk_free_bytes" not in empty
    assert "tremorscope_displacement_rms_px" not in empty
    assert empty < names


def test_names_follow_one_form_and_every_metric_says_what_it_is() -> None:
    families = list(text_string_to_metric_families(render(lambda: FULL, lambda: COUNTS).decode()))
    for family in families:
        assert re.fullmatch(r"tremorscope_[a-z][a-z0-9_]*", family.name)
        assert family.documentation
        assert family.type in ("gauge", "counter")
    assert len({family.name for family in families}) == len(families)


def test_frames_that_stop_show() -> None:
    stopped = samples(replace(FULL, last_frame_age_s=7.0))
    assert stopped["tremorscope_healthy", ()] == 0
