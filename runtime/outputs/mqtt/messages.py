"""What is said over MQTT, as topics and JSON. docs/outputs.md describes every one of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from tremorscope.runtime.health import Health
from tremorscope.runtime.outputs.liveness import judge
from tremorscope.runtime.telemetry import Reading
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, AlarmStatus

ONLINE, OFFLINE = "online", "offline"
_EXPIRES_AFTER = 3
"""Summaries that Home Assistant may miss before it calls a number unknown."""


class Topics:
    """The topics of one instance."""

    def __init__(self, first_levels: str, instance: str) -> None:
        base = f"{first_levels}/{slug(instance)}"
        self.status = f"{base}/status"
        """online or offline; retained, offline by the last will."""
        self.state = f"{base}/state"
        """The latest summary; retained."""
        self.summary = f"{base}/summary"
        """Every summary, in order, also those of an outage."""
        self.edge = f"{base}/edge"
        """Every edge of an alarm, likewise."""
        self._alarm = f"{base}/alarm"
        self.alarms = f"{base}/alarm/+"
        """All alarms, to subscribe to."""

    def alarm(self, name: str) -> str:
        """How one alarm stands; retained."""
        return f"{self._alarm}/{slug(name)}"


def slug(name: str) -> str:
    """A name as a level of a topic; different names give different ones."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def to_json(payload: Mapping[str, Any]) -> str:
    """A payload as JSON."""
    return json.dumps(payload, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def edge_payload(edge: AlarmEdge) -> dict[str, Any]:
    """An edge of an alarm."""
    return {
        **_time(edge.time_s),
        "name": edge.name,
        "edge": edge.edge,
        "source": edge.source,
        "quantity": edge.quantity,
        "value": _number(edge.value),
        "threshold": _number(edge.threshold),
        "unit": edge.unit,
        "since_s": round(edge.since_s, 3),
    }


def alarm_payload(alarm: AlarmStatus) -> dict[str, Any]:
    """How an alarm stands; no reading is in it, so that it changes only with the alarm."""
    return {
        "name": alarm.rule.name,
        "raised": alarm.phase in ("raised", "clearing"),
        "needs_attention": alarm.needs_attention,
        "source": alarm.rule.source,
        "quantity": alarm.rule.quantity,
        "threshold": _number(alarm.rule.threshold),
        "unit": alarm.rule.threshold_unit,
        "raised_s": _number(alarm.raised_s),
        "acknowledged_s": _number(alarm.acknowledged_s),
    }


def summary_payload(health: Health) -> dict[str, Any]:
    """How everything stands."""
    verdict = judge(health)
    temperatures = health.device.temperatures_c
    return {
        **_time(health.time_s),
        "ok": verdict.ok,
        "verdict": verdict.text,
        "uptime_s": round(health.uptime_s),
        "frames": health.frames,
        "rate_hz": _number(health.camera.rate_hz),
        "dropped": health.camera.dropped,
        "regions": {
            slug(region.name): {
                "name": region.name,
                "rms_px": _number(region.displacement_rms_px),
                "peak_px": _number(region.displacement_peak_px),
                "rms_mm": _scaled(region.displacement_rms_px, region.mm_per_px),
                "peak_mm": _scaled(region.displacement_peak_px, region.mm_per_px),
                "frequencies_hz": [_number(each.frequency_hz) for each in region.frequencies],
            }
            for region in health.regions
        },
        "modes_hz": {str(mode.number): _number(mode.frequency_hz) for mode in health.modes},
        "raised": [alarm.rule.name for alarm in health.raised],
        "temperature_c": _number(max(temperatures.values(), default=None)),
        "throttled": list(health.device.throttled),
        "device": device_payload(health.device.reading),
        "disk_free_bytes": health.storage.free_bytes,
        "recoveries": dict(health.recoveries),
        "problems": list(health.problems),
    }


def device_payload(told: Reading) -> dict[str, Any]:
    """What the device measures of itself; what it does not is left out."""
    fields = {**vars(told), "engines": {name: vars(each) for name, each in told.engines.items()}}
    known = {name: value for name, value in fields.items() if value is not None and value not in ("", {})}
    return {name: _rounded(value) for name, value in known.items()}


def _rounded(value: Any) -> Any:
    """A value of `Reading` with six digits after the point at most."""
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _template(name: str, times: int = 1) -> str:
    """A number of `device_payload` for Home Assistant, which is to call it unknown where it is away."""
    factor = f"{times} * " if times != 1 else ""
    return f"{{% set told = value_json.device.get('{name}') %}}{{{{ {factor}told if told is not none else none }}}}"


_DEVICE_ENTITIES = (
    ("power_w", "power", 1, "W", "power"),
    ("gpu_load_ratio", "GPU load", 100, "%", None),
    ("cpu_load_ratio", "processor load", 100, "%", None),
    ("memory_used_bytes", "memory used", 1, "B", "data_size"),
)
"""Field of `Reading`, name, factor, unit and class of what Home Assistant is told of, where it exists."""


def discovery(
    health: Health, topics: Topics, prefix: str, summary_every_s: float
) -> dict[str, dict[str, Any]]:
    """Announcements for Home Assistant: topic -> configuration of an entity."""
    node = f"tremorscope_{slug(health.name)}"
    device = {
        "identifiers": [node],
        "name": health.name,
        "manufacturer": "tremorscope",
        "model": "vibration monitor",
        "sw_version": health.version,
    }
    found: dict[str, dict[str, Any]] = {}

    def add(kind: str, key: str, name: str, template: str, topic: str = topics.state, **more: object) -> None:
        found[f"{prefix}/{kind}/{node}/{key}/config"] = {
            "name": name,
            "unique_id": f"{node}_{key}",
            "state_topic": topic,
            "value_template": template,
            "availability_topic": topics.status,
            "device": device,
            **more,
        }

    fresh: dict[str, Any] = {"expire_after": round(_EXPIRES_AFTER * summary_every_s)}
    number: dict[str, Any] = {"state_class": "measurement", **fresh}
    add("binary_sensor", "stopped", "frames stopped", "{{ 'OFF' if value_json.ok else 'ON' }}",
        device_class="problem", json_attributes_topic=topics.state,
        json_attributes_template="{{ {'verdict': value_json.verdict} | tojson }}", **fresh)  # fmt: skip
    for alarm in health.alarms:
        topic = topics.alarm(alarm.rule.name)
        add("binary_sensor", f"alarm_{slug(alarm.rule.name)}", f"alarm {alarm.rule.name}",
            "{{ 'ON' if value_json.raised else 'OFF' }}", topic,
            device_class="problem", json_attributes_topic=topic)  # fmt: skip
    for region in health.regions:
        key = slug(region.name)
        unit = "px" if region.mm_per_px is None else "mm"
        add("sensor", f"rms_{key}", f"{region.name} RMS", f"{{{{ value_json.regions['{key}'].rms_{unit} }}}}",
            unit_of_measurement=unit, suggested_display_precision=4, **number)  # fmt: skip
    for mode in health.modes:
        template = f"{{{{ value_json.modes_hz.get('{mode.number}') }}}}"
        add("sensor", f"mode_{mode.number}", f"mode {mode.number}", template,
            unit_of_measurement="Hz", device_class="frequency", suggested_display_precision=3, **number)  # fmt: skip
    add("sensor", "rate", "frame rate", "{{ value_json.rate_hz }}", unit_of_measurement="Hz",
        device_class="frequency", entity_category="diagnostic", **number)  # fmt: skip
    add("sensor", "temperature", "temperature", "{{ value_json.temperature_c }}", unit_of_measurement="°C",
        device_class="temperature", entity_category="diagnostic", **number)  # fmt: skip
    for field, name, times, unit, kind in _DEVICE_ENTITIES:
        if getattr(health.device.reading, field) is not None:
            device_class = {"device_class": kind} if kind else {}
            add("sensor", f"device_{field}", name, _template(field, times), unit_of_measurement=unit,
                entity_category="diagnostic", **device_class, **number)  # fmt: skip
    add("sensor", "disk_free", "disk free", "{{ value_json.disk_free_bytes }}", unit_of_measurement="B",
        device_class="data_size", entity_category="diagnostic", **number)  # fmt: skip
    return found


def _time(unix_s: float) -> dict[str, Any]:
    text = datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="milliseconds")
    return {"time_s": round(unix_s, 3), "time": text.replace("+00:00", "Z")}


def _number(value: float | None) -> float | None:
    return float(f"{value:.12g}") if value is not None and math.isfinite(value) else None


def _scaled(px: float | None, mm_per_px: float | None) -> float | None:
    return None if px is None or mm_per_px is None else _number(px * mm_per_px)
