"""Service status snapshot read by /healthz, metrics, MQTT and the web page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tremorscope.runtime.frames.stage_times import LatencySummary
from tremorscope.runtime.telemetry import Reading
from tremorscope.runtime.vibration.monitoring.alarms import AlarmStatus
from tremorscope.runtime.vibration.monitoring.motion_levels import RateLevels

Clock = Callable[[], float]
log = logging.getLogger("tremorscope.outputs")


@dataclass(frozen=True)
class CameraHealth:
    """Status of the camera."""

    status: str = "opening"
    """opening, running, closing, waiting (for the next attempt), stuck, ended or closed."""
    faults: tuple[str, ...] = ()
    """Kinds of the faults that last at present; see `runtime.cameras.supervision.faults.FaultKind`."""
    fault_totals: Mapping[str, int] = field(default_factory=dict)
    """Faults that have begun since the start, by kind."""
    source: str = ""
    width_px: int = 0
    height_px: int = 0
    nominal_rate_hz: float = 0.0
    """As the camera states it."""
    rate_hz: float | None = None
    """As measured from the frames' times; None before there are enough."""
    jitter_ms: float | None = None
    """Standard deviation of the frames' times from even ones."""
    times: str = ""
    """Clock of the frames' times: sensor, driver, sender or arrival; empty where that is unknown."""
    mode: str = ""
    """Sensor mode; empty where it is unknown."""
    memory: str = ""
    """nvmm: frames are read where the camera wrote them. copy: the CPU passes over each once."""
    openings: int = 0
    segments: int = 0
    """Segments: a new one begins where time or picture starts again."""
    numbered: int = 0
    """Number of the latest frame that was processed, from 1: it counts every frame and every drop since the start."""
    drops: Mapping[str, int] = field(default_factory=dict)
    """Frames that the camera produced and the service did not get, by reason: see `Drops`."""

    @property
    def dropped(self) -> int:
        """Sum of all drops."""
        return sum(self.drops.values())


@dataclass(frozen=True)
class MagnificationHealth:
    """Status of the live magnification."""

    active: bool = False
    """True while frames are being magnified."""
    reasons: tuple[str, ...] = ()
    """Reasons to magnify, of "viewer", "event" and "always"; empty while it idles."""
    why_not: str = ""
    """Reason why nothing is magnified though it is wanted, e.g. heat, or why what is shown misleads; else empty."""
    engine: str = ""
    """Runner, e.g. ``onnxruntime``; empty before there is one."""
    precision: str = ""
    """fp32, fp16 or int8."""
    mode: str = ""
    """static, dynamic or band."""
    bands_hz: tuple[tuple[float, float], ...] = ()
    amplification: float = 1.0
    """Magnified over true displacement, as wanted."""
    settling_left_s: float = 0.0
    """Seconds until the filter has settled."""
    frames: int = 0
    """Frames that were magnified since the start."""
    skipped: int = 0
    """Frames that were measured, but not magnified because that would have held up the camera."""


@dataclass(frozen=True)
class NaturalFrequency:
    """Natural frequency of the structure, as one analysis found it."""

    number: int
    """Number of the mode, kept while its frequency drifts."""
    frequency_hz: float
    deviation_hz: float | None
    """Standard deviation; None where it is unknown."""
    damping_ratio: float | None
    """Fraction of critical damping; None where it is unknown."""
    time_s: float
    """Unix time at which it was last seen."""


@dataclass(frozen=True)
class RegionHealth:
    """The latest measurement in one region."""

    name: str
    displacement_rms_px: float | None = None
    """Vibration about the window's own mean, over the latest window; None where too little is known."""
    displacement_peak_px: float | None = None
    """Largest distance from the reference position, likewise."""
    noise_floor_px: float | None = None
    """Standard deviation of one frame that noise causes, on the worse axis that shows motion."""
    quality: float | None = None
    """Share of the region's variance that the latest match explains, 0 to 1."""
    lost_ratio: float = 0.0
    """Share of the latest window's frames in which nothing could be measured."""
    mm_per_px: float | None = None
    scale_relative_sigma: float = 0.0
    """The scale, where one is stated, and its relative standard uncertainty."""
    rectangle_px: tuple[int, int, int, int] | None = None
    """Rectangle in the frame: left column, top row, width, height."""
    frequencies: tuple[NaturalFrequency, ...] = ()
    """Natural frequencies that the region's latest spectrum shows, lowest first."""
    trouble: str = ""
    """Reason why nothing is measured here; empty if all is well."""
    velocity_px_s: RateLevels | None = None
    acceleration_px_s2: RateLevels | None = None
    """Levels of both over the latest window that is settled; None before the first."""


@dataclass(frozen=True)
class StorageHealth:
    """Status of store, clips and disk; ``trouble`` is the reason why nothing can be written at present."""

    trouble: str = ""
    written: int = 0
    pending: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    """Records given up, by kind: bulk, declined, vital."""
    replaced: Mapping[str, int] = field(default_factory=dict)
    """Stores replaced since the start, by cause: damaged, gone, failing."""
    remarks: tuple[str, ...] = ()
    """Reasons why results are not stored as wanted, though they are."""
    store_bytes: int = 0
    log_bytes: int = 0
    free_bytes: int | None = None
    given_up: tuple[str, ...] = ()
    """Kinds that the disk guard has given up, of previews, clips and series."""
    recording: str | None = None
    clips: Mapping[str, int] = field(default_factory=dict)
    """By outcome since the start: saved, failed, declined."""
    clip_frames_dropped: int = 0


@dataclass(frozen=True)
class DeviceHealth:
    """Status of the device."""

    temperatures_c: Mapping[str, float] = field(default_factory=dict)
    governor_level: int = 0
    """Load level of the thermal governor: 0 is full load."""
    governor: str = ""
    """Human-readable load level."""
    throttled: tuple[str, ...] = ()
    """Causes that slow the hardware down at present, as it reports them; empty at full speed."""
    limit_events: Mapping[str, int] = field(default_factory=dict)
    """Events since the start by limit of voltage or current: oc1, oc2, oc3."""
    reading: Reading = field(default_factory=Reading)
    """Power, clocks, load, fans and memory."""
    note: str = ""
    """Reason why ``reading`` does not come from the configured source; empty where all is well."""
    rss_bytes: int = 0
    """Resident memory of the process."""
    cpu_s: float = 0.0
    """Processor time of the process since its start."""
    copied_bytes: Mapping[str, int] = field(default_factory=dict)
    """Bytes of pixels that the CPU has copied between camera and engine, by place; see `runtime.frames.buffers`."""


@dataclass(frozen=True)
class ReloadHealth:
    """Outcome of the latest reload of the configuration."""

    time_s: float | None = None
    """Unix time; None before the first."""
    applied: tuple[str, ...] = ()
    """Changes that took effect, a line each."""
    needs_restart: tuple[str, ...] = ()
    """Changes that take effect when the service is started again."""
    refused: str = ""
    """Reason why the file was refused, in which case nothing changed; empty if it was not."""


@dataclass(frozen=True)
class Health:
    """Status of the whole service at one moment."""

    name: str = "tremorscope"
    """Configured name of this instance."""
    version: str = ""
    started_s: float = 0.0
    """Unix time."""
    time_s: float = 0.0
    """Unix time of this snapshot."""
    uptime_s: float = 0.0
    ready: bool = False
    """True once a frame was processed since the start."""
    stopping: bool = False
    frames: int = 0
    """Frames that were processed (measured) since the start."""
    last_frame_age_s: float | None = None
    """Seconds since the last frame was processed; None before the first."""
    stages: Mapping[str, LatencySummary] = field(default_factory=dict)
    """Time of each stage of the loop for a frame, over the latest minute or so."""
    camera: CameraHealth = field(default_factory=CameraHealth)
    magnification: MagnificationHealth = field(default_factory=MagnificationHealth)
    regions: tuple[RegionHealth, ...] = ()
    still_px: tuple[tuple[int, int, int, int], ...] = ()
    """Rectangles of what cannot move, where the view now shows them."""
    modes: tuple[NaturalFrequency, ...] = ()
    """Followed modes of the whole structure, lowest first."""
    alarms: tuple[AlarmStatus, ...] = ()
    storage: StorageHealth = field(default_factory=StorageHealth)
    device: DeviceHealth = field(default_factory=DeviceHealth)
    recoveries: Mapping[str, int] = field(default_factory=dict)
    """Actions since the start by rung of the recovery ladder."""
    thread_failures: Mapping[str, int] = field(default_factory=dict)
    """Program errors that ended the work of a thread, by the thread's name."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """State of each output (web, metrics, mqtt); empty text where all is well."""
    viewers: int = 0
    reload: ReloadHealth = field(default_factory=ReloadHealth)
    problems: tuple[str, ...] = ()
    """All other present problems, a line each."""

    @property
    def period_s(self) -> float | None:
        """Usual seconds between two frames; None while no rate is known."""
        rate_hz = self.camera.rate_hz or self.camera.nominal_rate_hz
        return 1 / rate_hz if rate_hz > 0 else None

    @property
    def raised(self) -> tuple[AlarmStatus, ...]:
        """The alarms that are raised."""
        return tuple(each for each in self.alarms if each.phase in ("raised", "clearing"))


class HealthBoard:
    """Status board: parts of the service write to it, outputs read from it, in any thread.

    Ages and times are computed when they are read, so that they are right also while the loop over frames hangs.
    """

    def __init__(
        self,
        name: str = "tremorscope",
        *,
        version: str = "",
        clock: Clock = time.monotonic,
        unix_clock: Clock = time.time,
    ) -> None:
        self._clock, self._unix_clock = clock, unix_clock
        self._lock = threading.Lock()
        self._started_s = clock()
        self._latest: tuple[float | None, int] = (None, 0)
        """Time and number of the latest frame; replaced as a whole."""
        self._health = Health(name=name, version=version, started_s=unix_clock())

    def update(self, **changes: Any) -> None:
        """Replace fields of `Health`, by name; raises a TypeError where there is none of that name."""
        with self._lock:
            self._health = replace(self._health, **changes)

    def update_output(self, name: str, text: str) -> None:
        """Set the state of an output, empty where all is well. Both edges are logged, in a line each."""
        with self._lock:
            before = self._health.outputs.get(name, "")
            self._health = replace(self._health, outputs={**self._health.outputs, name: text})
        if text and not before:
            log.warning("output %s: %s", name, text, extra={"fields": {"output": name, "edge": "begins"}})
        elif before and not text:
            log.info("output %s: works again", name, extra={"fields": {"output": name, "edge": "ends"}})

    def frame_processed(self, frames: int) -> None:
        """Note that frame number ``frames`` was processed just now; cheap, once a frame."""
        self._latest = self._clock(), frames

    def snapshot(self) -> Health:
        """Status of the whole service now."""
        with self._lock:
            health, (frame_s, frames), now_s = self._health, self._latest, self._clock()
        return replace(
            health,
            time_s=self._unix_clock(),
            uptime_s=now_s - self._started_s,
            ready=frame_s is not None,
            frames=frames,
            last_frame_age_s=None if frame_s is None else max(0.0, now_s - frame_s),
        )
