"""A service in miniature for the tests of its outputs: a footbridge at 30 frames/s, live numbers, a store, a clip.

What is real: pictures of the synthetic camera, board, feed, store, an event's clip. What is not: the magnified
pictures come from a second drawing that moves more, and displacements from the truth with some noise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from lent import Shown
from numpy.typing import NDArray

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings
from tremorscope.runtime.clips.writer import EventClipWriter, clip_name, event_name
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.stage_times import LatencySummary
from tremorscope.runtime.health import (
    CameraHealth,
    DeviceHealth,
    HealthBoard,
    MagnificationHealth,
    NaturalFrequency,
    RegionHealth,
    StorageHealth,
)
from tremorscope.runtime.live.feed import LiveFeed, LiveSpectrum
from tremorscope.runtime.live.picture import LiveInfo
from tremorscope.runtime.outputs.state import RegionsTaken
from tremorscope.runtime.store.records import (
    Acknowledgement,
    Channel,
    Clip,
    EventRecord,
    ModePoint,
    ModeRecord,
    PeakRecord,
    Record,
    magnification_text,
)
from tremorscope.runtime.store.store import Store
from tremorscope.runtime.telemetry import EngineReading, Reading
from tremorscope.runtime.vibration.displacement.regions import RegionEdit
from tremorscope.runtime.vibration.monitoring.alarms import AlarmEdge, AlarmRule, AlarmStatus, Phase
from tremorscope.runtime.vibration.monitoring.motion_levels import RateLevels
from tremorscope.runtime.vibration.spectra.peaks import Peak

RATE_HZ = 30.0
DEVICE = DeviceHealth(
    temperatures_c={"cpu-thermal": 51.5, "gpu-thermal": 49.0}, limit_events={"oc1": 0, "oc2": 0, "oc3": 4},
    rss_bytes=312_000_000, cpu_s=812.0,
    reading=Reading(
        source="jtop", power_w=8.2, power_of="VDD_IN",
        rails_w={"VDD_IN": 8.2, "VDD_CPU_GPU_CV": 3.1, "VDD_SOC": 2.2},
        gpu_load_ratio=0.37, gpu_frequency_hz=612e6, gpu_frequency_max_hz=1020e6,
        emc_load_ratio=0.31, emc_frequency_hz=2133e6, emc_frequency_max_hz=3199e6,
        cpu_load_ratio=0.22, cpu_frequency_hz=1728e6, cpu_cores=6,
        fan_duty_ratio={"pwmfan": 0.294}, fan_speed_rpm={"pwmfan": 1786.0},
        memory_total_bytes=7_989_000_000, memory_used_bytes=2_970_000_000,
        swap_total_bytes=3_995_000_000, swap_used_bytes=0,
        engines={"NVDEC": EngineReading(False, 115e6), "VIC": EngineReading(True, 729.6e6)},
        power_mode="MAXN_SUPER", jetson_clocks=False,
    ),
)  # fmt: skip
"""As an Orin Nano would tell it."""
REGIONS = ("midspan", "quarter span", "abutment")
MODES_HZ = (2.1, 4.7)
MM_PER_PX = 2.4
RMS_PX = (0.0845, 0.0344, 0.003)
RULE = AlarmRule("midspan rms", "midspan", "rms", threshold=0.2, clear_at=0.16, unit="mm")
_FRAMES = 30


def draw(settings: SyntheticSettings, count: int) -> list[NDArray[np.uint8]]:
    camera = SyntheticCamera(settings)
    pictures = [np.empty((settings.height_px, settings.width_px, 3), np.uint8) for _ in range(count)]
    for picture in pictures:
        camera.read_into(picture)
    return pictures


def region_health(settings: SyntheticSettings, number: int, now_s: float) -> RegionHealth:
    rectangles = (settings.girder_px(0.5), settings.girder_px(0.25), settings.abutment_px)
    found = tuple(
        NaturalFrequency(mode + 1, hz, 0.004, 0.011, now_s)
        for mode, hz in enumerate(MODES_HZ)
        if number == mode or (number == 0 and mode == 0)
    )
    return RegionHealth(
        REGIONS[number],
        displacement_rms_px=RMS_PX[number],
        displacement_peak_px=1.6 * RMS_PX[number],
        noise_floor_px=0.0028,
        quality=0.997,
        mm_per_px=MM_PER_PX if number == 0 else None,
        rectangle_px=rectangles[number],
        scale_relative_sigma=0.02 if number == 0 else 0.0,
        velocity_px_s=RateLevels(13.2 * RMS_PX[number], 30.0 * RMS_PX[number], 0.004),
        frequencies=found,
    )


def spectrum(region: str, amplitude_px: float, frequency_hz: float, now_s: float) -> LiveSpectrum:
    frequencies = np.arange(0, 15, 1 / 30)
    floor = np.full(frequencies.shape, 0.0006)
    bell = 1 / np.sqrt(1 + ((frequencies - frequency_hz) / 0.02) ** 2)
    noise = 1 + 0.4 * np.random.default_rng(int(now_s)).standard_normal(frequencies.shape)
    peak = Peak(frequency_hz, 0.004, amplitude_px, 0.0, "random", 0.011, None, None, 0.0)
    peaks = (peak,) if amplitude_px > 0.01 else ()
    return LiveSpectrum(
        region, "y", now_s, 60.0, frequencies, amplitude_px * bell + 0.0005 * abs(noise), floor, peaks
    )


def stored_modes(
    time_s: float, off_hz: float = 0.0, sigmas_hz: tuple[float, float] = (0.003, 0.012)
) -> list[Record]:
    """Modes and peaks of one analysis, as the service stores them: the first two of a girder."""
    found: list[Record] = []
    for number, (hz, sizes) in enumerate(zip(MODES_HZ, ((1, 0.7, 0), (0, 1, 0)), strict=True)):
        points = [
            ModePoint(name, axis, size * (axis == "y"), 0.0)
            for name, size in zip(REGIONS, sizes, strict=True)
            for axis in ("x", "y")
        ]
        found.append(
            ModeRecord(time_s, str(number + 1), hz + off_hz, sigmas_hz[number], 0.012, shape=tuple(points))
        )
        found.append(
            PeakRecord(time_s, Channel(REGIONS[number], "y"), hz + off_hz, 0.003, (0.12, 0.05)[number])
        )
    return found


class FakeControls:
    """Notes what it is asked, and does it to the board."""

    def __init__(self, rig: ServiceRig) -> None:
        self._rig = rig
        self.asked: list[tuple[object, ...]] = []

    def acknowledge(self, alarm: str, by: str) -> bool:
        self.asked.append(("acknowledge", alarm, by))
        return self._rig.acknowledge(alarm)

    def record_event(self, reason: str) -> str | None:
        self.asked.append(("record", reason))
        return "20261122T134510.123Z"

    def adjust(
        self, *, amplification: float | None = None, bands_hz: tuple[tuple[float, float], ...] | None = None
    ) -> None:
        self.asked.append(("adjust", amplification, bands_hz))
        if bands_hz and bands_hz[0][1] >= RATE_HZ / 2:
            raise OptionFault(
                "a band up to 20 Hz cannot be seen at 30 frames/s", remedy="keep it below 15 Hz"
            )
        magnification = self._rig.magnification
        if amplification is not None:
            magnification = replace(magnification, amplification=amplification)
        if bands_hz is not None:
            magnification = replace(magnification, bands_hz=bands_hz)
        self._rig.magnification = magnification
        self._rig.board.update(magnification=magnification)

    def change_regions(self, wanted: Sequence[RegionEdit], *, before: Sequence[str], by: str) -> RegionsTaken:
        self.asked.append(("regions", wanted, before, by))
        return RegionsTaken(True, "written into bridge.yaml")


class ServiceRig:
    """Owns board, feed and store, and feeds them from a thread."""

    def __init__(
        self,
        directory: Path,
        *,
        width_px: int = 640,
        height_px: int = 360,
        work: Callable[[], None] | None = None,
    ):
        self.settings = SyntheticSettings(width_px=width_px, height_px=height_px, rate_hz=RATE_HZ)
        self.board = HealthBoard("bridge-7", version="0.1.0")
        self.feed = LiveFeed(width_px=width_px, height_px=height_px)
        self._shown = Shown(self.feed)
        self.controls = FakeControls(self)
        self.store = directory / "tremorscope.db"
        self.clips = directory / "clips"
        self.clips.mkdir(exist_ok=True)
        self.magnification = MagnificationHealth(
            active=True, reasons=("viewer",), engine="onnxruntime", precision="fp32", mode="band",
            bands_hz=((1.8, 2.4),), amplification=20.0,
        )  # fmt: skip
        small = SyntheticMode(2.1, 0.12, 1), SyntheticMode(4.7, 0.05, 2)
        large = SyntheticMode(2.1, 0.7, 1), SyntheticMode(4.7, 0.29, 2)
        still = replace(self.settings, noise_sigma=0.6)
        self._raw = draw(replace(still, modes=small), _FRAMES)
        self._large = draw(replace(still, modes=large, seed=1), _FRAMES)
        self._work = work
        self._stopping = threading.Event()
        self.frozen = threading.Event()
        self._frames = 0
        self.late = 0
        """Frames that came more than half a period after they were due."""
        self._raised_s: float | None = None
        self._acknowledged_s: float | None = None
        self._opened = Store(self.store)
        self._fill()
        self._thread = threading.Thread(target=self._run, name="frame loop", daemon=True)

    def __enter__(self) -> ServiceRig:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.feed.close()
        self._thread.join(5)
        self._opened.close()

    @property
    def frames(self) -> int:
        """Frames that were processed."""
        return self._frames

    def edge(self, edge: str, now_s: float | None = None, value: float = 0.24) -> AlarmEdge:
        """Raise or clear the alarm, on the board and in the store."""
        now_s = time.time() if now_s is None else now_s
        raised = edge == "raised"
        told = AlarmEdge(
            RULE.name, RULE.source, RULE.quantity, "raised" if raised else "cleared", now_s, now_s - 5, value,
            RULE.threshold, "mm",
        )  # fmt: skip
        if raised:
            self._raised_s, self._acknowledged_s = now_s, None
        self._show_alarm("raised" if raised else "normal", value)
        self._opened.write([told])
        return told

    def acknowledge(self, alarm: str) -> bool:
        """As the service does it."""
        if alarm != RULE.name or self._raised_s is None or self._acknowledged_s is not None:
            return False
        self._acknowledged_s = time.time()
        self._show_alarm("raised", 0.24)
        self._opened.write([Acknowledgement(alarm, self._acknowledged_s, "web page")])
        return True

    def write(self, *records: Record) -> None:
        """Store something, as the service does."""
        self._opened.write(list(records))

    def _show_alarm(self, phase: Phase, value: float) -> None:
        self.board.update(
            alarms=(
                AlarmStatus(RULE, phase, value, self._raised_s, self._acknowledged_s, None),
                AlarmStatus(AlarmRule("camera", "camera", "signal", 10, 5), "normal", 0.0, None, None, None),
            )
        )

    def _fill(self) -> None:
        now_s = time.time()
        self._motion = self.feed.begin_motion(REGIONS)
        points = [
            NaturalFrequency(mode + 1, hz + 0.012 * np.sin(n / 90 + mode), 0.004, None, now_s - 6 * 3600 + 30 * n)
            for n in range(720)
            for mode, hz in enumerate(MODES_HZ)
        ]  # fmt: skip
        self.feed.add_frequencies(points)
        self._show_alarm("normal", 0.203 * 0.9)
        stages = {
            "measure": LatencySummary(300, 4.1, 5.0, 6.2, 9.0), "magnify": LatencySummary(300, 18.0, 20.0, 24.0, 31.0),
        }  # fmt: skip
        self.board.update(
            stages=stages,
            magnification=self.magnification,
            storage=StorageHealth(written=5120, free_bytes=41_800_000_000, clips={"saved": 3, "failed": 0}),
            device=DEVICE,
            recoveries={"reopen": 1, "restart_argus": 0, "exit": 0, "reboot": 0},
        )
        self._record_clip(now_s - 1800)
        self.write(*stored_modes(now_s - 120.0, 0.02), *stored_modes(now_s - 60.0))

    def _record_clip(self, unix_s: float) -> None:
        name = event_name(unix_s)
        for kind in ("raw", "magnified"):
            file = clip_name(name, kind)
            writer = EventClipWriter(
                self.clips / file, width_px=self.settings.width_px, height_px=self.settings.height_px,
                rate_hz=RATE_HZ, comment="rig",
            )  # fmt: skip
            for number, picture in enumerate(self._raw if kind == "raw" else self._large):
                writer.write(picture, number / RATE_HZ)
            nbytes = writer.publish().nbytes
            told = magnification_text(20.0, self.magnification.bands_hz) if kind == "magnified" else ""
            end_s = unix_s + _FRAMES / RATE_HZ
            clip = Clip(name, kind, file, "saved", unix_s, end_s, _FRAMES, 0, nbytes, told)
            self._opened.write([EventRecord(name, unix_s, "midspan rms raised", RULE.name, unix_s), clip])

    def _run(self) -> None:
        random = np.random.default_rng(1)
        begun_s, begun_unix_s = time.monotonic(), time.time()
        points = [self.settings.girder_px(0.5), self.settings.girder_px(0.25)]
        columns = [left + width / 2 for left, _, width, _ in points]
        while not self._stopping.is_set():
            due_s = begun_s + self._frames / RATE_HZ
            if self._stopping.wait(max(0.0, due_s - time.monotonic())):
                return
            if self.frozen.is_set():
                begun_s += 1 / RATE_HZ
                begun_unix_s += 1 / RATE_HZ
                continue
            late_s = time.monotonic() - due_s
            self.late += late_s > 0.5 / RATE_HZ
            number, now_s = self._frames % _FRAMES, begun_unix_s + self._frames / RATE_HZ
            if self._work is not None:
                self._work()
            self._shown.offer(self._raw[number], self._large[number], LiveInfo(self._frames, now_s, 20.0))
            motions = np.zeros((len(REGIONS), 2))
            motions[:2, 1] = self.settings.displacement_px(np.array(columns), self._frames / RATE_HZ)
            self._motion.add(now_s, motions + random.normal(0, 0.0028, motions.shape))
            self._frames += 1
            self.board.frame_processed(self._frames)
            if self._frames % 30 == 1:
                self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        self.board.update(
            camera=CameraHealth(
                status="running", source="synthetic footbridge", width_px=self.settings.width_px,
                height_px=self.settings.height_px, nominal_rate_hz=RATE_HZ, rate_hz=29.998, jitter_ms=0.31,
                openings=1, drops={"source": 0, "late": 2, "no_slot": 0, "corrupt": 0, "abandoned": 0},
            ),
            regions=tuple(region_health(self.settings, number, now_s) for number in range(len(REGIONS))),
            modes=tuple(NaturalFrequency(n + 1, hz, 0.003, 0.012, now_s) for n, hz in enumerate(MODES_HZ)),
            viewers=self.feed.viewers,
        )  # fmt: skip
        if self._frames % 90 == 1:
            self._motion.spectra = (
                spectrum("midspan", 0.119, 2.1, now_s),
                spectrum("quarter span", 0.0486, 4.7, now_s),
                spectrum("abutment", 0.0004, 1.0, now_s),
            )
