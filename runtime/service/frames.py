"""Loop over frames: each is measured, kept for clips, and passed on where it is to be magnified."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.frames.rates import MeasuredRate, RateWindow
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.frames.stage_times import LatencySummary, StageLatencies
from tremorscope.runtime.health import CameraHealth, HealthBoard
from tremorscope.runtime.live.on_demand import FRAMES_HELD, Magnifying
from tremorscope.runtime.service.alarming import AlarmService
from tremorscope.runtime.service.clock import UnixClock
from tremorscope.runtime.service.measuring import Measuring
from tremorscope.runtime.service.storing import Storage

STAGES = ("capture", "wait", "record", "measure")
"""Timed stages of every frame: from the sensor into the ring, in the ring, keeping it for clips, measuring it."""
HELD_FRAMES = 1 + FRAMES_HELD
"""Frames that the consumers of the camera hold at most."""
_EVERY_S = 1.0
_TAKE_S = 0.25


@dataclass(frozen=True)
class FrameParts:
    """Source and consumers of the frames."""

    supervisor: CameraSupervisor
    clock: UnixClock
    storage: Storage
    alarms: AlarmService
    magnifying: Magnifying
    board: HealthBoard
    store_series: bool


class FrameLoop:
    """Takes frames from the camera's supervisor, one by one, in a thread of its own."""

    def __init__(self, parts: FrameParts, measuring: Measuring | None) -> None:
        self._parts = parts
        self._measuring, self._next = measuring, measuring
        self._window = RateWindow()
        self._told_s = -1e9
        self.latencies = StageLatencies(STAGES)
        """Times of each stage; may be read from any thread."""
        self.rate: MeasuredRate | None = None
        """Measured from the sensor's timestamps, renewed once a second."""
        self.frames = 0
        """Frames that were processed."""
        self.numbered = 0
        """Number of the latest frame, from 1, drops included."""
        self.latest_s: float | None = None
        """The camera's time of the latest frame."""
        self.latest_at_s: float | None = None
        """Monotonic time at which the latest frame was processed."""
        self.ended = False
        """True once the source has ended."""

    @property
    def measuring(self) -> Measuring | None:
        """Measurement from the next frame on; None measures nothing."""
        return self._next

    def use(self, measuring: Measuring | None) -> None:
        """Measure differently from the next frame on; may be called from any thread."""
        self._next = measuring

    def work(self, is_stopping: Callable[[], bool]) -> None:
        """Process frames until the end of the service, or of the source."""
        supervisor = self._parts.supervisor
        while not is_stopping():
            lease = supervisor.take(_TAKE_S)
            if lease is not None:
                with lease:
                    self._process(lease)
            elif supervisor.state().status == "ended":
                self.ended = True
                return

    def flush(self) -> None:
        """Store the samples gathered so far, once the loop has ended."""
        self._hand_over(self._measuring)

    def _process(self, lease: Lease) -> None:
        parts, info, pixels = self._parts, lease.info, lease.pixels
        assert info is not None
        begun_s = time.monotonic()
        if info.arrived_s is not None:
            if info.captured_s is not None:
                self.latencies.add("capture", info.arrived_s - info.captured_s)
            self.latencies.add("wait", begun_s - info.arrived_s)
        unix_s = parts.clock.take(info.timestamp_s, info.arrived_s)
        parts.magnifying.consider(lease)
        recorder = parts.storage.recorder
        if recorder is not None:
            recorder.offer(pixels, info.timestamp_s)
        self.latest_s = info.timestamp_s
        kept_s = time.monotonic()
        self._measure(lease, info.timestamp_s, unix_s)
        ended_s = time.monotonic()
        self.latencies.add("record", kept_s - begun_s)
        self.latencies.add("measure", ended_s - kept_s)
        self._window.add(info)
        if ended_s - self._told_s >= _EVERY_S:
            self._told_s = ended_s
            self.rate = self._window.measure()
            parts.alarms.frame(unix_s, begun_s)
        self.frames += 1
        self.numbered = info.sequence + 1
        self.latest_at_s = ended_s
        parts.board.frame_processed(self.frames)

    def _measure(self, lease: Lease, timestamp_s: float, unix_s: float) -> None:
        if self._next is not self._measuring:
            self._hand_over(self._measuring)
            self._measuring = self._next
        if self._measuring is None:
            return
        measured = self._measuring.take(lease.pixels, timestamp_s, unix_s)
        if measured.levels:
            self._parts.alarms.levels(unix_s, measured.levels, self._parts.clock.steady_s)
        if measured.block is not None and self._parts.store_series:
            self._parts.storage.offer(measured.block)

    def _hand_over(self, measuring: Measuring | None) -> None:
        block = measuring.flush() if measuring is not None else None
        if block is not None and self._parts.store_series:
            self._parts.storage.offer(block)


def camera_health(
    base: CameraHealth, supervisor: CameraSupervisor, loop: FrameLoop, totals: Mapping[str, int]
) -> CameraHealth:
    """Status of the camera; ``base`` holds the constant fields."""
    state, rate = supervisor.state(), loop.rate
    return replace(
        base,
        status=state.status,
        faults=state.active,
        fault_totals=totals,
        rate_hz=rate.rate_hz if rate else None,
        jitter_ms=1e3 * rate.jitter_rms_s if rate else None,
        openings=state.openings,
        segments=state.segments,
        numbered=loop.numbered,
        drops=vars(state.drops),
    )


def stage_summaries(loop: FrameLoop, magnifying: Magnifying) -> dict[str, LatencySummary]:
    """Times of all stages: those of this loop, and those of the magnification."""
    found = loop.latencies.summaries()
    magnified = magnifying.stage_times.summaries()
    return found | {name: magnified[name] for name in ("step", "output", "total") if name in magnified}
