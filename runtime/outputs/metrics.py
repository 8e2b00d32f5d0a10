"""How the service stands, as Prometheus metrics. Names carry their units; docs/outputs.md lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from tremorscope.runtime.health import Health, RegionHealth
from tremorscope.runtime.outputs.liveness import judge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CAMERA_FAULTS = ("missing", "lost", "refused", "frozen", "resized", "corrupt", "time", "stuck")
GIVEN_UP = ("previews", "clips", "series")

Number: TypeAlias = float | int | bool | None
Labelled: TypeAlias = Iterable[tuple[tuple[str, ...], Number]]
Counts: TypeAlias = Mapping[str, Mapping[str, int]]
"""What the outputs count of themselves: metric name without prefix and ``_total`` -> reason -> count."""


def gauge(name: str, text: str, value: Number) -> Iterator[Metric]:
    """A number that goes up and down; nothing where it is not known."""
    if value is not None:
        yield GaugeMetricFamily(f"tremorscope_{name}", text, value=float(value))


def gauges(name: str, text: str, labels: str, values: Labelled) -> Iterator[Metric]:
    """Numbers told apart by labels (separated by blanks); those that are not known are left out."""
    family = GaugeMetricFamily(f"tremorscope_{name}", text, labels=labels.split())
    for key, value in values:
        if value is not None:
            family.add_metric(key, float(value))
    if family.samples:
        yield family


def counter(name: str, text: str, value: int | float) -> Iterator[Metric]:
    """A number that only rises."""
    yield CounterMetricFamily(f"tremorscope_{name}", text, value=value)


def counters(name: str, text: str, label: str, values: Mapping[str, int]) -> Iterator[Metric]:
    """Numbers that only rise, told apart by a label."""
    family = CounterMetricFamily(f"tremorscope_{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    if family.samples:
        yield family


def _of_service(health: Health) -> Iterator[Metric]:
    yield from gauges("info", "Which instance and version this is", "name version",
                      [((health.name, health.version), 1)])  # fmt: skip
    yield from gauge("start_time_seconds", "Unix time of the start", health.started_s)
    yield from gauge("healthy", "1 while frames flow, as /healthz says", judge(health).ok)
    yield from gauge("ready", "1 from the first processed frame on", health.ready)
    yield from counter("frames", "Frames that were processed", health.frames)
    yield from gauge("frame_age_seconds", "Time since the last frame was processed", health.last_frame_age_s)
    quantiles = ("0.5", "0.95", "0.99", "1")
    yield from gauges(
        "stage_latency_seconds", "Time that a stage takes a frame, over the latest minute or so",
        "stage quantile",
        (
            ((stage, quantile), ms / 1e3)
            for stage, of in health.stages.items()
            for quantile, ms in zip(quantiles, (of.median_ms, of.p95_ms, of.p99_ms, of.max_ms), strict=True)
        ),
    )  # fmt: skip
    yield from counters(
        "recoveries", "Rungs of the recovery ladder that were taken", "rung", health.recoveries
    )
    yield from counters(
        "thread_failures", "Mistakes in the program that ended a thread", "thread", health.thread_failures
    )
    yield from gauges("output_ok", "1 while an output works", "output",
                      (((name,), not text) for name, text in health.outputs.items()))  # fmt: skip
    yield from gauge("viewers", "Who watches the live picture", health.viewers)
    yield from gauge("problems", "Lines that a person should read on the page", len(health.problems))
    yield from gauge(
        "reload_refused", "1 if the changed configuration was refused", bool(health.reload.refused)
    )
    yield from gauge("restart_needed", "1 if the configuration says what only a restart does",
                     bool(health.reload.needs_restart))  # fmt: skip


def _of_camera(health: Health) -> Iterator[Metric]:
    camera = health.camera
    yield from gauge("camera_running", "1 while the camera is open and read", camera.status == "running")
    yield from gauge("frame_rate_hz", "Rate as measured", camera.rate_hz)
    yield from gauge("nominal_frame_rate_hz", "Rate as the camera states it", camera.nominal_rate_hz or None)
    jitter_s = None if camera.jitter_ms is None else camera.jitter_ms / 1e3
    yield from gauge(
        "frame_jitter_seconds", "Standard deviation of the frames' times from even ones", jitter_s
    )
    yield from counter("camera_frames", "Frames that the camera numbered: those processed and all that were dropped",
                       camera.numbered)  # fmt: skip
    yield from counters("drops", "Frames that nobody got", "reason", camera.drops)
    kinds = dict.fromkeys((*CAMERA_FAULTS, *camera.faults))
    yield from gauges("camera_fault", "1 while a fault lasts", "kind",
                      (((kind,), kind in camera.faults) for kind in kinds))  # fmt: skip
    yield from counters("camera_faults", "How often a fault began", "kind", camera.fault_totals)
    yield from counter("camera_openings", "How often the camera was opened with success", camera.openings)
    yield from counter("camera_segments", "How often time or picture began anew", camera.segments)


def _of_magnification(health: Health) -> Iterator[Metric]:
    magnification = health.magnification
    yield from gauge("magnification_active", "1 while frames are magnified", magnification.active)
    yield from gauge("amplification_ratio", "Magnified over true displacement", magnification.amplification)
    yield from gauges("band_low_hz", "Lower edge of a magnified band", "band",
                      (((str(n),), low) for n, (low, _) in enumerate(magnification.bands_hz)))  # fmt: skip
    yield from gauges("band_high_hz", "Upper edge of a magnified band", "band",
                      (((str(n),), high) for n, (_, high) in enumerate(magnification.bands_hz)))  # fmt: skip
    yield from counter("magnified_frames", "Frames that were magnified", magnification.frames)
    yield from counter("magnification_skips", "Frames measured, but not magnified for lack of time",
                       magnification.skipped)  # fmt: skip


def _of_vibration(health: Health) -> Iterator[Metric]:
    def by_region(name: str, text: str, pick: Callable[[RegionHealth], Number]) -> Iterator[Metric]:
        return gauges(name, text, "region", (((region.name,), pick(region)) for region in health.regions))

    yield from by_region(
        "displacement_rms_px", "RMS displacement about its mean", lambda r: r.displacement_rms_px
    )
    yield from by_region("displacement_peak_px", "Largest distance from the reference position",
                         lambda r: r.displacement_peak_px)  # fmt: skip
    yield from by_region("displacement_rms_mm", "The same RMS, where a scale is stated",
                         lambda r: _scaled(r.displacement_rms_px, r.mm_per_px))  # fmt: skip
    yield from by_region("displacement_peak_mm", "The same peak, where a scale is stated",
                         lambda r: _scaled(r.displacement_peak_px, r.mm_per_px))  # fmt: skip
    yield from by_region("noise_floor_px", "What noise alone shows in one frame", lambda r: r.noise_floor_px)
    yield from by_region(
        "match_quality_ratio", "Share of the picture that the match explains", lambda r: r.quality
    )
    yield from by_region(
        "lost_ratio", "Share of frames in which nothing could be measured", lambda r: r.lost_ratio
    )
    # Told apart by their order: not every peak is a mode with a number of its own.
    found = [((r.name, str(n)), each) for r in health.regions for n, each in enumerate(r.frequencies, 1)]
    labels = "region peak"
    yield from gauges("natural_frequency_hz", "Natural frequency in a region's latest spectrum", labels,
                      ((key, each.frequency_hz) for key, each in found))  # fmt: skip
    yield from gauges("natural_frequency_deviation_hz", "Its standard deviation", labels,
                      ((key, each.deviation_hz) for key, each in found))  # fmt: skip
    yield from gauges("damping_ratio", "Its damping", labels,
                      ((key, each.damping_ratio) for key, each in found))  # fmt: skip
    yield from gauges("mode_frequency_hz", "Mode of the whole structure", "mode",
                      (((str(each.number),), each.frequency_hz) for each in health.modes))  # fmt: skip


def _of_alarms(health: Health) -> Iterator[Metric]:
    labels = "alarm source quantity"
    named = [((each.rule.name, each.rule.source, each.rule.quantity), each) for each in health.alarms]
    raised = set(map(id, health.raised))
    yield from gauges("alarm_raised", "1 from raise to clear", labels,
                      ((key, id(each) in raised) for key, each in named))  # fmt: skip
    yield from gauges("alarm_needs_attention", "1 while raised, and until acknowledged", labels,
                      ((key, each.needs_attention) for key, each in named))  # fmt: skip
    with_unit = [((*key, each.rule.threshold_unit), each) for key, each in named]
    yield from gauges("alarm_value", "Latest reading, in the unit of the threshold", f"{labels} unit",
                      ((key, each.value) for key, each in with_unit))  # fmt: skip
    yield from gauges("alarm_threshold", "From here on it is raised", f"{labels} unit",
                      ((key, each.rule.threshold) for key, each in with_unit))  # fmt: skip


def _of_storage(health: Health) -> Iterator[Metric]:
    storage = health.storage
    yield from gauge("disk_free_bytes", "Room on the disk of clips and store", storage.free_bytes)
    yield from gauge("store_ok", "1 while results can be written", not storage.trouble)
    yield from counter("store_records", "Records on the disk", storage.written)
    yield from gauge("store_records_pending", "Records that wait for the disk", storage.pending)
    yield from counters("store_drops", "Records given up", "kind", storage.dropped)
    yield from gauges("given_up", "1 while the disk guard has given a thing up", "thing",
                      (((thing,), thing in storage.given_up) for thing in GIVEN_UP))  # fmt: skip
    yield from gauge("event_recording", "1 while an event is recorded", storage.recording is not None)
    yield from counters("clips", "Clips by what became of them", "outcome", storage.clips)
    yield from counter("clip_frames_dropped", "Frames missing in clips", storage.clip_frames_dropped)


def _of_device(health: Health) -> Iterator[Metric]:
    device = health.device
    yield from gauges("temperature_celsius", "Temperature of a zone", "zone",
                      (((zone,), value) for zone, value in device.temperatures_c.items()))  # fmt: skip
    yield from gauge(
        "governor_level", "0 is full speed; each step gives something up for heat", device.governor_level
    )
    yield from gauge("throttled", "1 while the hardware has slowed itself down", bool(device.throttled))
    yield from gauges("throttled_by", "1 for each thing that slows the hardware down", "what",
                      (((what,), 1) for what in device.throttled))  # fmt: skip
    yield from counters("limit_events", "How often a limit of voltage (oc1) or current (oc2, oc3) was met", "limit",
                        device.limit_events)  # fmt: skip
    yield from gauge("resident_memory_bytes", "Memory of the process", device.rss_bytes or None)
    yield from counter("cpu_seconds", "Processor time of the process", device.cpu_s)
    yield from counters("copied_bytes", "Pixels that the CPU has copied between camera and engine", "place",
                        device.copied_bytes)  # fmt: skip


def _of_power(health: Health) -> Iterator[Metric]:
    """What the device measures of power, clocks and fans."""
    told = health.device.reading
    yield from gauge("power_watts", "Power of the device, as far as it is measured", told.power_w)
    yield from gauges("rail_power_watts", "Power of a rail", "rail", _by_name(told.rails_w))
    yield from gauges("fan_duty_ratio", "Pulse width of a fan", "fan", _by_name(told.fan_duty_ratio))
    yield from gauges("fan_speed_rpm", "Speed of a fan", "fan", _by_name(told.fan_speed_rpm))
    engines = told.engines.items()
    yield from gauges("engine_active", "1 while a unit for pictures is switched on", "engine",
                      (((name,), each.active) for name, each in engines))  # fmt: skip
    yield from gauges("engine_frequency_hz", "Clock of a unit for pictures", "engine",
                      (((name,), each.frequency_hz) for name, each in engines))  # fmt: skip
    yield from gauge("jetson_clocks", "1 while the clocks are held at their limits", told.jetson_clocks)
    words = (told.power_mode or "", told.power_of, told.source)
    yield from gauges("device_info", "Power mode, what power_watts is of, and who has told",
                      "power_mode power_of source", [(words, 1)] if told.source else [])  # fmt: skip


def _of_load(health: Health) -> Iterator[Metric]:
    """What the device measures of GPU, memory and processor."""
    told = health.device.reading
    yield from gauge("gpu_load_ratio", "Share of time in which the GPU has worked", told.gpu_load_ratio)
    yield from gauge("gpu_frequency_hz", "Clock of the GPU", told.gpu_frequency_hz)
    yield from gauge("gpu_frequency_max_hz", "Highest clock of the GPU at present", told.gpu_frequency_max_hz)
    yield from gauge("emc_load_ratio", "Share of the memory's bandwidth that is used", told.emc_load_ratio)
    yield from gauge("emc_frequency_hz", "Clock of the memory", told.emc_frequency_hz)
    yield from gauge(
        "emc_frequency_max_hz", "Highest clock of the memory at present", told.emc_frequency_max_hz
    )
    yield from gauge("cpu_load_ratio", "Share of time in which the cores have worked", told.cpu_load_ratio)
    yield from gauge("cpu_frequency_hz", "Clock of the fastest core", told.cpu_frequency_hz)
    yield from gauge("cpu_cores", "Cores that are online", told.cpu_cores)
    yield from gauge("memory_total_bytes", "Memory of the device", told.memory_total_bytes)
    yield from gauge("memory_used_bytes", "Memory that is not available", told.memory_used_bytes)
    yield from gauge("swap_total_bytes", "Swap of the device", told.swap_total_bytes)
    yield from gauge("swap_used_bytes", "Swap that is used", told.swap_used_bytes)


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


def _by_name(values: Mapping[str, float]) -> Labelled:
    return (((name,), value) for name, value in values.items())


def _scaled(px: float | None, mm_per_px: float | None) -> float | None:
    return None if px is None or mm_per_px is None else px * mm_per_px


class HealthCollector(Collector):
    """Reads one picture of the service's health for each scrape."""

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
