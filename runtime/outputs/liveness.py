"""Whether frames flow: the one rule behind /healthz, /readyz, the metric and the MQTT state."""

from __future__ import annotations

from dataclasses import dataclass

from tremorscope.runtime.health import Health

LEAST_SILENCE_S = 3.0
"""Shorter pauses are no outage: a camera is opened again within that time."""
SILENT_PERIODS = 10.0


@dataclass(frozen=True)
class Verdict:
    """Whether all is well, and a line for a person."""

    ok: bool
    text: str


def longest_silence_s(health: Health) -> float:
    """After how many seconds without a frame they count as stopped."""
    return max(LEAST_SILENCE_S, SILENT_PERIODS * (health.period_s or 0.0))


def judge(health: Health) -> Verdict:
    """Whether frames are being processed at present."""
    camera, age_s = health.camera, health.last_frame_age_s
    standing = f"camera {camera.status}" + (f" ({', '.join(camera.faults)})" if camera.faults else "")
    if age_s is None:
        return Verdict(False, f"no frame yet, {health.uptime_s:.0f} s after the start: {standing}")
    if age_s > longest_silence_s(health):
        return Verdict(False, f"no frame for {age_s:.1f} s: {standing}")
    rate = f"{camera.rate_hz:.4g} frames/s" if camera.rate_hz else "frames flow"
    return Verdict(True, f"ok: {rate}, the last {age_s:.2f} s ago")


def judge_readiness(health: Health) -> Verdict:
    """Whether the service does its work: frames flow, and it is not on its way out."""
    if health.stopping:
        return Verdict(False, "stopping")
    return judge(health)
