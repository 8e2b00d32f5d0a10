"""Health of the service as Prometheus metrics. Names carry their units; docs/outputs.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias, TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tremorscope.runtime.health import Health, RegionHealth
from tremorscope.runtime.outputs.state import judge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CAMERA_FAULTS = ("missing", "lost", "refused", "frozen", "resized", "corrupt", "time", "stuck")
GIVEN_UP = ("previews", "clips", "series")

Number: TypeAlias = float | int | bool | None
_Labels = TypeVar("_Labels", bound=str | tuple[str, ...])
"""Value of the one label, or values of all labels."""
Counts: TypeAlias = Mapping[str, Mapping[str, int]]
"""Counts of the outputs themselves: metric name without prefix and ``_total`` -> reason -> count."""


def gauge(name: str, text: str, value: Number) -> Iterator[Metric]:
    """A gauge; no metric if the value is not known."""
    if value is not None:
        yield GaugeMetricFamily(f"tremorscope_{name}", text, value=float(value))


def gauges(name: str, text: str, labels: str, values: Mapping[_Labels, Number]) -> Iterator[Metric]:
    """A gauge with labels (names separated by blanks); values that are not known are left out."""
    family = GaugeMetricFamily(f"tremorscope_{name}", text, labels=labels.split())
    for key, value in values.items():
        if value is not None:
            family.add_metric([key] if isinstance(key, str) else list(key), float(value))
    if family.samples:
        yield family


def counter(name: str, text: str, value: int | float) -> Iterator[Metric]:
    """A counter: a number that only rises."""
    yield CounterMetricFamily(f"tremorscope_{name}", text, value=value)


def counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Iterator[Metric]:
    """A counter with one label."""
    family = CounterMetricFamily(f"tremorscope_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    if family.samples:
        yield family


def _of_service(health: Health) -> Iterator[Metric]:
    instance = {(health.name, health.version): 1}
    yield from gauges("info", "Which instance and version this is", "name version", instance)
    yield from gauge("start_time_seconds", "Unix time of the start", health.started_s)
    yield from gauge("healthy", "1 while frames flow, as /healthz says", judge(health).ok)
    yield from gauge("ready", "1 from the first processed frame on", health.ready)
    yield from counter("frames", "Frames that were processed", health.frames)
    yield from gauge("frame_age_seconds", "Time since the last frame was processed", health.last_frame_age_s)
    latencies_s = {
        (stage, quantile): ms / 1e3
        for stage, of in health.stages.items()
        for quantile, ms in (
            ("0.5", of.median_ms),
            ("0.95", of.p95_ms),
            ("0.99", of.p99_ms),
            ("1", of.max_ms),
        )
    }
    text = "Time that a stage takes a frame, over the latest minute or so"
    yield from gauges("stage_latency_seconds", text, "stage quantile", latencies_s)
    yield from counters(
        "recoveries", "Rungs of the recovery ladder that were taken", "rung", health.recoveries
    )
    yield from counters(
        "thread_failures", "Mistakes in the program that ended a thread", "thread", health.thread_failures
    )
    working = {name: not trouble for name, trouble in health.outputs.items()}
    yield from gauges("output_ok", "1 while an output works", "output", working)
    yield from gauge("viewers", "Who watches the live picture", health.viewers)
    yield from gauge("problems", "Lines that a person should read on the page", len(health.problems))
    refused, needs_restart = bool(health.reload.refused), bool(health.reload.needs_restart)
    yield from gauge("reload_refused", "1 if the changed configuration was refused", refused)
    yield from gauge("restart_needed", "1 if the configuration says what only a restart does", needs_restart)


def _of_camera(health: Health) -> Iterator[Metric]:
    camera = health.camera
    yield from gauge("camera_running", "1 while the camera is open and read", camera.status == "running")
    yield from gauge("frame_rate_hz", "Rate as measured", camera.rate_hz)
    yield from gauge("nominal_frame_rate_hz", "Rate as the camera states it", camera.nominal_rate_hz or None)
    jitter_s = None if camera.jitter_ms is None else camera.jitter_ms / 1e3
    yield from gauge(
        "frame_jitter_seconds", "Standard deviation of the frames' times from even ones", jitter_s
    )
    text = "Frames that the camera numbered: those processed and all that were dropped"
    yield from counter("camera_frames", text, camera.numbered)
    yield from counters("drops", "Frames that nobody got", "reason", camera.drops)
    kinds = dict.fromkeys((*CAMERA_FAULTS, *camera.faults))
    lasting = {kind: kind in camera.faults for kind in kinds}
    yield from gauges("camera_fault", "1 while a fault lasts", "kind", lasting)
    yield from counters("camera_faults", "How often a fault began", "kind", camera.fault_totals)
    yield from counter("camera_openings", "How often the camera was opened with success", camera.openings)
    yield from counter("camera_segments", "How often time or picture began anew", camera.segments)


def _of_magnification(health: Health) -> Iterator[Metric]:
    magnification = health.magnification
    yield from gauge("magnification_active", "1 while frames are magnified", magnification.active)
    yield from gauge("amplification_ratio", "Magnified over true displacement", magnification.amplification)
    bands = {str(number): band for number, band in enumerate(magnification.bands_hz)}
    low_hz, high_hz = ({number: band[edge] for number, band in bands.items()} for edge in (0, 1))
    yield from gauges("band_low_hz", "Lower edge of a magnified band", "band", low_hz)
    yield from gauges("band_high_hz", "Upper edge of a magnified band", "band", high_hz)
    yield from counter("magnified_frames", "Frames that were magnified", magnification.frames)
    text = "Frames measured, but not magnified for lack of time"
    yield from counter("magnification_skips", text, magnification.skipped)


_RATES = (("velocity", "px_s", "mm_s", 1.0), ("acceleration", "px_s2", "m_s2", 1e-3))
"""Quantity, its units in px and to scale, and how much of the latter one mm is."""


def _of_vibration(health: Health) -> Iterator[Metric]:
    def by_region(name: str, text: str, pick: Callable[[RegionHealth], Number]) -> Iterator[Metric]:
        return gauges(name, text, "region", {region.name: pick(region) for region in health.regions})

    yield from by_region(
        "displacement_rms_px", "RMS displacement about its mean", lambda r: r.displacement_rms_px
    )
    text = "Largest distance from the reference position"
    yield from by_region("displacement_peak_px", text, lambda r: r.displacement_peak_px)
    text = "The same RMS, where a scale is stated"
    yield from by_region("displacement_rms_mm", text, lambda r: _scaled(r.displacement_rms_px, r.mm_per_px))
    text = "The same peak, where a scale is stated"
    yield from by_region("displacement_peak_mm", text, lambda r: _scaled(r.displacement_peak_px, r.mm_per_px))
    text = "Standard uncertainty of the scale, and by it of all to scale, as a share"
    sigmas = {each.name: each.scale_relative_sigma for each in health.regions if each.mm_per_px is not None}
    yield from gauges("scale_sigma_ratio", text, "region", sigmas)
    for name, unit, physical, per_mm in _RATES:
        found = {region: getattr(region, f"{name}_{unit}") for region in health.regions}
        scales = {each.name: each.mm_per_px and per_mm * each.mm_per_px for each in health.regions}
        for kind, text in (("rms", "RMS"), ("peak", "Largest"), ("noise", "RMS that noise shows of")):
            told = {region.name: getattr(levels, kind, None) for region, levels in found.items()}
            yield from gauges(f"{name}_{kind}_{unit}", f"{text} {name}", "region", told)
            scaled = {region: _scaled(value, scales[region]) for region, value in told.items()}
            yield from gauges(f"{name}_{kind}_{physical}", "The same, to scale", "region", scaled)
    yield from by_region("noise_floor_px", "What noise alone shows in one frame", lambda r: r.noise_floor_px)
    text = "Share of the picture that the match explains"
    yield from by_region("match_quality_ratio", text, lambda r: r.quality)
    text = "Share of frames in which nothing could be measured"
    yield from by_region("lost_ratio", text, lambda r: r.lost_ratio)
    yield from _of_modes(health)


def _of_modes(health: Health) -> Iterator[Metric]:
    # Labelled by rank: not every peak belongs to a mode with a number.
    found = {(r.name, str(n)): each for r in health.regions for n, each in enumerate(r.frequencies, 1)}
    frequencies_hz = {key: each.frequency_hz for key, each in found.items()}
    deviations_hz = {key: each.deviation_hz for key, each in found.items()}
    damping = {key: each.damping_ratio for key, each in found.items()}
    labels, text = "region peak", "Natural frequency in a region's latest spectrum"
    yield from gauges("natural_frequency_hz", text, labels, frequencies_hz)
    yield from gauges("natural_frequency_deviation_hz", "Its standard deviation", labels, deviations_hz)
    yield from gauges("damping_ratio", "Its damping", labels, damping)
    modes_hz = {str(each.number): each.frequency_hz for each in health.modes}
    yield from gauges("mode_frequency_hz", "Mode of the whole structure", "mode", modes_hz)


def _of_alarms(health: Health) -> Iterator[Metric]:
    named = {(each.rule.name, each.rule.source, each.rule.quantity): each for each in health.alarms}
    raised = set(map(id, health.raised))
    is_raised = {key: id(each) in raised for key, each in named.items()}
    needs_attention = {key: each.needs_attention for key, each in named.items()}
    labels, text = "alarm source quantity", "1 while raised, and until acknowledged"
    yield from gauges("alarm_raised", "1 from raise to clear", labels, is_raised)
    judged = {key: each.judged for key, each in named.items()}
    yield from gauges("alarm_judged", "0 while its limit cannot be judged", labels, judged)
    yield from gauges("alarm_needs_attention", text, labels, needs_attention)
    with_unit = {(*key, each.rule.threshold_unit): each for key, each in named.items()}
    values = {key: each.value for key, each in with_unit.items()}
    thresholds = {key: each.rule.threshold for key, each in with_unit.items()}
    labels, text = f"{labels} unit", "Latest reading, in the unit of the threshold"
    yield from gauges("alarm_value", text, labels, values)
    yield from gauges("alarm_threshold", "From here on it is raised", labels, thresholds)


def _of_storage(health: Health) -> Iterator[Metric]:
    storage = health.storage
    yield from gauge("disk_free_bytes", "Room on the disk of clips and store", storage.free_bytes)
    yield from gauge("store_ok", "1 while results can be written", not storage.trouble)
    yield from counter("store_records", "Records on the disk", storage.written)
    yield from gauge("store_records_pending", "Records that wait for the disk", storage.pending)
    yield from counters("store_drops", "Records given up", "kind", storage.dropped)
    yield from counters("store_replaced", "Stores replaced while running", "cause", storage.replaced)
    yield from gauge("store_bytes", "Bytes in the tables of the store", storage.store_bytes)
    yield from gauge("store_log_bytes", "Bytes of its write-ahead log", storage.log_bytes)
    given_up = {thing: thing in storage.given_up for thing in GIVEN_UP}
    yield from gauges("given_up", "1 while the disk guard has given a thing up", "thing", given_up)
    yield from gauge("event_recording", "1 while an event is recorded", storage.recording is not None)
    yield from counters("clips", "Clips by what became of them", "outcome", storage.clips)
    yield from counter("clip_frames_dropped", "Frames missing in clips", storage.clip_frames_dropped)


def _of_device(health: Health) -> Iterator[Metric]:
    device = health.device
    yield from gauges("temperature_celsius", "Temperature of a zone", "zone", device.temperatures_c)
    text = "0 is full speed; each step gives something up for heat"
    yield from gauge("governor_level", text, device.governor_level)
    yield from gauge("throttled", "1 while the hardware has slowed itself down", bool(device.throttled))
    causes = dict.fromkeys(device.throttled, 1)
    yield from gauges("throttled_by", "1 for each thing that slows the hardware down", "what", causes)
    text = "How often a limit of voltage (oc1) or current (oc2, oc3) was met"
    yield from counters("limit_events", text, "limit", device.limit_events)
    yield from gauge("resident_memory_bytes", "Memory of the process", device.rss_bytes or None)
    yield from counter("cpu_seconds", "Processor time of the process", device.cpu_s)
    text = "Pixels that the CPU has copied between camera and engine"
    yield from counters("copied_bytes", text, "place", device.copied_bytes)


def _of_power(health: Health) -> Iterator[Metric]:
    """Power, clocks and fans as the device measures them."""
    reading = health.device.reading
    active = {name: each.active for name, each in reading.engines.items()}
    clocks_hz = {name: each.frequency_hz for name, each in reading.engines.items()}
    yield from gauge("power_watts", "Power of the device, as far as it is measured", reading.power_w)
    yield from gauges("rail_power_watts", "Power of a rail", "rail", reading.rails_w)
    yield from gauges("fan_duty_ratio", "Pulse width of a fan", "fan", reading.fan_duty_ratio)
    yield from gauges("fan_speed_rpm", "Speed of a fan", "fan", reading.fan_speed_rpm)
    yield from gauges("engine_active", "1 while a unit for pictures is switched on", "engine", active)
    yield from gauges("engine_frequency_hz", "Clock of a unit for pictures", "engine", clocks_hz)
    yield from gauge("jetson_clocks", "1 while the clocks are held at their limits", reading.jetson_clocks)
    words = (reading.power_mode or "", reading.power_of, reading.source)
    labels, text = "power_mode power_of source", "Power mode, what power_watts is of, and who has told"
    yield from gauges("device_info", text, labels, {words: 1} if reading.source else {})


def _of_load(health: Health) -> Iterator[Metric]:
    """Load and clocks of GPU, memory and processor as the device measures them."""
    reading = health.device.reading
    yield from gauge("gpu_load_ratio", "Share of time in which the GPU has worked", reading.gpu_load_ratio)
    yield from gauge("gpu_frequency_hz", "Clock of the GPU", reading.gpu_frequency_hz)
    yield from gauge(
        "gpu_frequency_max_hz", "Highest clock of the GPU at present", reading.gpu_frequency_max_hz
    )
    yield from gauge("emc_load_ratio", "Share of the memory's bandwidth that is used", reading.emc_load_ratio)
    yield from gauge("emc_frequency_hz", "Clock of the memory", reading.emc_frequency_hz)
    yield from gauge(
        "emc_frequency_max_hz", "Highest clock of the memory at present", reading.emc_frequency_max_hz
    )
    yield from gauge("cpu_load_ratio", "Share of time in which the cores have worked", reading.cpu_load_ratio)
    yield from gauge("cpu_frequency_hz", "Clock of the fastest core", reading.cpu_frequency_hz)
    yield from gauge("cpu_cores", "Cores that are online", reading.cpu_cores)
    yield from gauge("memory_total_bytes", "Memory of the device", reading.memory_total_bytes)
    yield from gauge("memory_used_bytes", "Memory that is not available", reading.memory_used_bytes)
    yield from gauge("swap_total_bytes", "Swap of the device", reading.swap_total_bytes)
    yield from gauge("swap_used_bytes", "Swap that is used", reading.swap_used_bytes)


SECTIONS = (
    _of_service,
    _of_camera,
    _of_magnification,
    _of_vibration,
    _of_alarms,
    _of_storage,
    _of_device,
    _of_power,
    _of_load,
)


def _scaled(px: float | None, mm_per_px: float | None) -> float | None:
    return None if px is None or mm_per_px is None else px * mm_per_px


class HealthCollector(Collector):
    """Collector that takes one snapshot of the service's health for each scrape."""

    def __init__(self, snapshot: Callable[[], Health], counts: Callable[[], Counts] = dict) -> None:
        self._snapshot, self._counts = snapshot, counts

    def collect(self) -> Iterator[Metric]:
        """All metrics at this moment."""
        health = self._snapshot()
        for section in SECTIONS:
            yield from section(health)
        for name, by_reason in self._counts().items():
            yield from counters(name, "Counted by an output", "reason", by_reason)


def render(snapshot: Callable[[], Health], counts: Callable[[], Counts] = dict) -> bytes:
    """All metrics in Prometheus' text format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(HealthCollector(snapshot, counts))
    return generate_latest(registry)
