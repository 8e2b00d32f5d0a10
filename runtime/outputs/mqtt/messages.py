"""Topics and JSON payloads of MQTT. docs/outputs.md describes every one of them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tremorscope.runtime.health import Health, RegionHealth
from tremorscope.runtime.outputs.state import judge, rates_true_hz
from tremorscope.runtime.telemetry import Reading
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, AlarmStatus

ONLINE, OFFLINE = "online", "offline"
_EXPIRES_AFTER = 3
"""Summaries that Home Assistant may miss before it marks a value as unknown."""


class Topics:
    """The topics of one instance."""

    def __init__(self, first_levels: str, instance: str) -> None:
        base = f"{first_levels}/{slug(instance)}"
        self.status = f"{base}/status"
        """online or offline; retained, offline by the last will."""
        self.state = f"{base}/state"
        """The latest summary; retained."""
        self.summary = f"{base}/summary"
        """Every summary, in order, those of an outage included."""
        self.edge = f"{base}/edge"
        """Every edge of an alarm, in order, those of an outage included."""
        self._alarm = f"{base}/alarm"
        self.alarms = f"{base}/alarm/+"
        """All alarms, to subscribe to."""
        self._node = f"tremorscope_{slug(instance)}"

    def alarm(self, name: str) -> str:
        """Topic of one alarm's status; retained."""
        return f"{self._alarm}/{slug(name)}"

    @property
    def node(self) -> str:
        """Level of the announcements to Home Assistant."""
        return self._node


def slug(name: str) -> str:
    """A name as one level of a topic; different names give different levels."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)
    return plain if plain == name else f"{plain}_{hashlib.sha256(name.encode()).hexdigest()[:4]}"


def to_json(payload: Mapping[str, Any]) -> str:
    """A payload as JSON."""
    return json.dumps(payload, allow_nan=False, separators=(",", ":"), ensure_ascii=False)


def edge_payload(edge: AlarmEdge) -> dict[str, Any]:
    """Payload of an alarm's edge."""
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
        **({"detail": edge.detail} if edge.detail else {}),
    }


def alarm_payload(alarm: AlarmStatus) -> dict[str, Any]:
    """Payload of an alarm's status, without its reading, so that it changes only with the alarm."""
    return {
        "name": alarm.rule.name,
        "raised": alarm.phase in ("raised", "clearing"),
        "needs_attention": alarm.needs_attention,
        "source": alarm.rule.source,
        "quantity": alarm.rule.quantity,
        "threshold": _number(alarm.rule.threshold),
        "unit": alarm.rule.threshold_unit,
        **({"limit_of": alarm.rule.criterion.source} if alarm.rule.criterion else {}),
        "raised_s": _number(alarm.raised_s),
        "acknowledged_s": _number(alarm.acknowledged_s),
    }


def summary_payload(health: Health) -> dict[str, Any]:
    """Payload of a summary of the service's health."""
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
                **_levels(region),
                "frequencies_hz": [_number(each.frequency_hz) for each in region.frequencies],
            }
            for region in health.regions
        },
        "rates_true_hz": rates_true_hz(health),
        "modes_hz": {str(mode.number): _number(mode.frequency_hz) for mode in health.modes},
        "raised": [alarm.rule.name for alarm in health.raised],
        "temperature_c": _number(max(temperatures.values(), default=None)),
        "throttled": list(health.device.throttled),
        "device": device_payload(health.device.reading),
        "disk_free_bytes": health.storage.free_bytes,
        "recoveries": dict(health.recoveries),
        "outputs": dict(health.outputs),
        "problems": list(health.problems),
    }


def _levels(region: RegionHealth) -> dict[str, float | None]:
    """Levels of a region in px and to scale, the latter with what the scale's error makes of them."""
    velocity, acceleration = region.velocity_px_s, region.acceleration_px_s2
    told: dict[str, float | None] = {}
    for name, value, in_px, physical, per_mm in (
        ("rms", region.displacement_rms_px, "px", "mm", 1.0),
        ("peak", region.displacement_peak_px, "px", "mm", 1.0),
        ("velocity_rms", velocity.rms if velocity else None, "px_s", "mm_s", 1.0),
        ("velocity_noise", velocity.noise if velocity else None, "px_s", "mm_s", 1.0),
        ("acceleration_rms", acceleration.rms if acceleration else None, "px_s2", "m_s2", 1e-3),
        ("acceleration_noise", acceleration.noise if acceleration else None, "px_s2", "m_s2", 1e-3),
    ):
        scale = None if region.mm_per_px is None else per_mm * region.mm_per_px
        told[f"{name}_{in_px}"] = _number(value)
        told[f"{name}_{physical}"] = _scaled(value, scale)
        told[f"{name}_sigma_{physical}"] = _scaled(value, scale and scale * region.scale_relative_sigma)
    return told


def device_payload(reading: Reading) -> dict[str, Any]:
    """Payload of the device's own measurements; those that it does not make are left out."""
    fields = {**vars(reading), "engines": {name: vars(each) for name, each in reading.engines.items()}}
    known = {name: value for name, value in fields.items() if value is not None and value not in ("", {})}
    return {name: _rounded(value) for name, value in known.items()}


def _rounded(value: Any) -> Any:
    """A value of `Reading` with at most six digits after the point."""
    if isinstance(value, Mapping):
        return {name: _rounded(each) for name, each in value.items()}
    return round(value, 6) if isinstance(value, float) else value


def _template(name: str, times: int = 1) -> str:
    """Template of Home Assistant for a number of `device_payload`, which is unknown if the number is missing."""
    factor = f"{times} * " if times != 1 else ""
    return f"{{% set told = value_json.device.get('{name}') %}}{{{{ {factor}told if told is not none else none }}}}"


_DEVICE_ENTITIES = (
    ("power_w", "power", 1, "W", "power"),
    ("gpu_load_ratio", "GPU load", 100, "%", None),
    ("cpu_load_ratio", "processor load", 100, "%", None),
    ("memory_used_bytes", "memory used", 1, "B", "data_size"),
)
"""Field of `Reading`, name, factor, unit and device class of the readings that Home Assistant gets."""


@dataclass(frozen=True)
class _Entity:
    """An entity of Home Assistant; ``topic`` holds its state, None for the latest summary."""

    kind: str
    key: str
    name: str
    template: str
    topic: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def _sensor(key: str, name: str, template: str, unit: str, **options: object) -> _Entity:
    """A numeric entity whose value is in the summary."""
    return _Entity("sensor", key, name, template, options={"unit_of_measurement": unit, **options})


def discovery(
    health: Health, topics: Topics, prefix: str, summary_every_s: float
) -> dict[str, dict[str, Any]]:
    """Announcements of all entities to Home Assistant: topic -> configuration of the entity."""
    node = topics.node
    device = {
        "identifiers": [node],
        "name": health.name,
        "manufacturer": "tremorscope",
        "model": "vibration monitor",
        "sw_version": health.version,
    }
    found: dict[str, dict[str, Any]] = {}
    entities = (*_problems(health, topics), *_vibration_sensors(health), *_device_sensors(health))
    for entity in entities:
        configuration = {
            "name": entity.name,
            "unique_id": f"{node}_{entity.key}",
            "state_topic": entity.topic or topics.state,
            "value_template": entity.template,
            "availability_topic": topics.status,
            "device": device,
            **entity.options,
        }
        if entity.kind == "sensor":
            configuration["state_class"] = "measurement"
        if entity.topic is None:  # a summary is published again and again, other topics only on a change
            configuration["expire_after"] = round(_EXPIRES_AFTER * summary_every_s)
        found[f"{prefix}/{entity.kind}/{node}/{entity.key}/config"] = configuration
    return found


def _problems(health: Health, topics: Topics) -> Iterator[_Entity]:
    """Liveness and alarms, which are on while there is a problem."""
    attributes = {
        "json_attributes_topic": topics.state,
        "json_attributes_template": "{{ {'verdict': value_json.verdict} | tojson }}",
    }
    yield _Entity(
        "binary_sensor",
        "stopped",
        "frames stopped",
        "{{ 'OFF' if value_json.ok else 'ON' }}",
        options={"device_class": "problem", **attributes},
    )
    for alarm in health.alarms:
        name, topic = alarm.rule.name, topics.alarm(alarm.rule.name)
        yield _Entity(
            "binary_sensor",
            f"alarm_{slug(name)}",
            f"alarm {name}",
            "{{ 'ON' if value_json.raised else 'OFF' }}",
            topic,
            {"device_class": "problem", "json_attributes_topic": topic},
        )


def _vibration_sensors(health: Health) -> Iterator[_Entity]:
    for region in health.regions:
        key = slug(region.name)
        unit = "px" if region.mm_per_px is None else "mm"
        template = f"{{{{ value_json.regions['{key}'].rms_{unit} }}}}"
        yield _sensor(f"rms_{key}", f"{region.name} RMS", template, unit, suggested_display_precision=4)
        template = f"{{{{ value_json.regions['{key}'].velocity_rms_{unit}_s }}}}"
        name = f"{region.name} RMS velocity"
        yield _sensor(f"velocity_{key}", name, template, f"{unit}/s", suggested_display_precision=4)
    for mode in health.modes:
        template = f"{{{{ value_json.modes_hz.get('{mode.number}') }}}}"
        options = {"device_class": "frequency", "suggested_display_precision": 3}
        yield _sensor(f"mode_{mode.number}", f"mode {mode.number}", template, "Hz", **options)


def _device_sensors(health: Health) -> Iterator[_Entity]:
    rows: list[tuple[str, str, str, str, str | None]] = [
        ("rate", "frame rate", "{{ value_json.rate_hz }}", "Hz", "frequency"),
        ("temperature", "temperature", "{{ value_json.temperature_c }}", "°C", "temperature"),
        ("disk_free", "disk free", "{{ value_json.disk_free_bytes }}", "B", "data_size"),
    ]
    rows += [
        (f"device_{field}", name, _template(field, times), unit, device_class)
        for field, name, times, unit, device_class in _DEVICE_ENTITIES
        if getattr(health.device.reading, field) is not None
    ]
    for key, name, template, unit, device_class in rows:
        options = {"device_class": device_class} if device_class else {}
        yield _sensor(key, name, template, unit, entity_category="diagnostic", **options)


def _time(unix_s: float) -> dict[str, Any]:
    text = datetime.fromtimestamp(unix_s, timezone.utc).isoformat(timespec="milliseconds")
    return {"time_s": round(unix_s, 3), "time": text.replace("+00:00", "Z")}


def _number(value: float | None) -> float | None:
    return float(f"{value:.12g}") if value is not None and math.isfinite(value) else None


def _scaled(px: float | None, mm_per_px: float | None) -> float | None:
    return None if px is None or mm_per_px is None else _number(px * mm_per_px)
