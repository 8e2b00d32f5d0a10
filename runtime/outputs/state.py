"""Interface between the service and its outputs: state, live data, stored results, controls; and the one rule of
liveness, a recent frame, behind /healthz, /readyz, the metric and the MQTT state.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tremorscope.runtime.health import Health, HealthBoard
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.vibration.displacement.geometry import PlaneScale
from tremorscope.runtime.vibration.displacement.regions import RegionEdit
from tremorscope.runtime.vibration.spectra.derivatives import whole_band_hz


@dataclass(frozen=True)
class RegionsTaken:
    """Outcome of a change of the regions, which are in effect."""

    written: bool
    """True where they stand in the configuration file; else they hold until the next reload or start."""
    text: str
    """The outcome in a sentence."""
    block: str = ""
    """Lines to put into the file by hand; empty where it was written."""


class Controls(Protocol):
    """Actions on the running service. Every method may be called from any thread, and returns soon."""

    def acknowledge(self, alarm: str, by: str) -> bool:
        """Acknowledge the latest raise of an alarm; False if there is none that is unacknowledged."""

    def record_event(self, reason: str) -> str | None:
        """Record a clip around the present; returns the event's name, or None if nothing is recorded."""

    def adjust(
        self, *, amplification: float | None = None, bands_hz: tuple[tuple[float, float], ...] | None = None
    ) -> None:
        """Change the amplification, the bands, or both, until the service is started or reconfigured again.

        Raises:
            Fault: it cannot be done, e.g. a band above half the rate; nothing is changed then.
        """

    def change_regions(self, wanted: Sequence[RegionEdit], *, before: Sequence[str], by: str) -> RegionsTaken:
        """Measure in other regions from now on, and write them into the configuration file; takes a second or more.

        Args:
            wanted: all regions.
            before: names of the regions that were seen when they were chosen; where these are none of the still
                ones and none is wanted, those stay, and follow the camera.
            by: who asks, for the journal.

        Raises:
            Fault: the regions are not valid, or others than were seen; nothing is changed then.
        """


@dataclass(frozen=True)
class ServiceView:
    """The service as its outputs see it."""

    board: HealthBoard
    """Status of the service, to which outputs also report their own."""
    feed: LiveFeed
    """Live pictures and series."""
    store: Path | None = None
    """SQLite store, for the lists of alarms and events; None if nothing is stored."""
    clips: Path | None = None
    """Directory of the clips; None if there are none."""
    controls: Controls | None = None
    """Actions that clients may request; None lets them only look."""
    bit_depth: int = 8
    """Bits in which the camera tells brightnesses apart."""
    on_damage: Callable[[], None] = lambda: None
    """Called when the store was found damaged."""
    planes: Callable[[], tuple[PlaneScale, ...]] = tuple
    """Calibrated planes that scales are taken from, read anew, for the check view."""


def rates_true_hz(health: Health) -> tuple[float, float] | None:
    """Band in which velocity and acceleration are true; None before the camera's rate is known."""
    rate_hz = health.camera.rate_hz or health.camera.nominal_rate_hz
    return (0.0, round(whole_band_hz(rate_hz)[1], 6)) if rate_hz else None


LEAST_SILENCE_S = 3.0
"""Least silence that counts as an outage: a camera can be opened again within that time."""
SILENT_PERIODS = 10.0
"""The same, in periods of a frame."""


@dataclass(frozen=True)
class LivenessVerdict:
    """Liveness of the service, with the reason in a line."""

    ok: bool
    text: str


def longest_silence_s(health: Health) -> float:
    """Seconds without a frame after which frames count as stopped."""
    return max(LEAST_SILENCE_S, SILENT_PERIODS * (health.period_s or 0.0))


def judge(health: Health) -> LivenessVerdict:
    """Liveness: frames are being processed at present."""
    camera, age_s = health.camera, health.last_frame_age_s
    standing = f"camera {camera.status}" + (f" ({', '.join(camera.faults)})" if camera.faults else "")
    if age_s is None:
        return LivenessVerdict(False, f"no frame yet, {health.uptime_s:.0f} s after the start: {standing}")
    if age_s > longest_silence_s(health):
        return LivenessVerdict(False, f"no frame for {age_s:.1f} s: {standing}")
    rate = f"{camera.rate_hz:.4g} frames/s" if camera.rate_hz else "frames flow"
    return LivenessVerdict(True, f"ok: {rate}, the last {age_s:.2f} s ago")


def judge_readiness(health: Health) -> LivenessVerdict:
    """Readiness: frames are being processed, and the service is not stopping."""
    if health.stopping:
        return LivenessVerdict(False, "stopping")
    return judge(health)
