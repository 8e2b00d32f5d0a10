"""Measuring half of the live loop: each frame is kept for clips and measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from tremorscope.runtime.cameras.supervision.supervisor import CameraSupervisor
from tremorscope.runtime.clips.recorder import EventRecorder
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.frames.stage_times import FrameMeter, LatencySummary
from tremorscope.runtime.health import CameraHealth, HealthBoard
from tremorscope.runtime.live.on_demand import FRAMES_HELD, Magnifying
from tremorscope.runtime.service.alarming import AlarmService
from tremorscope.runtime.service.clock import UnixClock
from tremorscope.runtime.service.measuring import Measuring
from tremorscope.runtime.store.records import SeriesBlock, SettingsRecord

HELD_FRAMES = 1 + FRAMES_HELD
"""Frames that the consumers of the camera hold at most."""
_EVERY_S = 1.0
_TAKE_S = 0.25


@dataclass(frozen=True)
class FrameParts:
    """Source of the frames, and their consumers as far as there are any."""

    supervisor: CameraSupervisor
    clock: UnixClock
    board: HealthBoard
    alarms: AlarmService | None = None
    recorder: Callable[[], EventRecorder | None] = lambda: None
    """Returns the present recorder of clips."""
    store: Callable[[SeriesBlock], None] | None = None
    """Takes blocks of displacement for the store."""
    settings: Callable[[], SettingsRecord | None] = lambda: None
    """Returns the settings by which is measured from now on."""


class FrameLoop:
    """Takes frames from the camera's supervisor, one by one, in a thread of its own."""

    def __init__(self, parts: FrameParts, measuring: Measuring | None = None) -> None:
        self._parts = parts
        self._measuring, self._next = measuring, measuring
        self._source = parts.settings()
        """Settings at the first sample of the block that is being gathered."""
        self._told_s = -1e9
        self.meter = FrameMeter()
        """Rate of the camera, and stage times of all its frames; may be read from any thread."""
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
        while not is_stopping() and not self.ended:
            self.advance(_TAKE_S)

    def advance(self, timeout_s: float) -> bool:
        """Process one frame; returns False if none came in time.

        Raises:
            CameraFault: a mistake in the program has ended the camera's supervisor.
            LeaseError: a mistake in the program: a frame was not released.
        """
        supervisor = self._parts.supervisor
        lease = supervisor.take(timeout_s)
        if lease is None:
            self.ended = supervisor.state().status == "ended"
            return False
        with lease:
            self._process(lease)
        return True

    def flush(self) -> None:
        """Store the samples gathered so far, once the loop has ended."""
        self._flush()

    def _process(self, lease: Lease) -> None:
        parts, info = self._parts, lease.info
        assert info is not None
        begun_s = self.meter.took(info)
        unix_s = parts.clock.take(info.timestamp_s, info.arrived_s)
        recorder = parts.recorder()
        if recorder is not None:
            recorder.offer(lease)
        self.latest_s = info.timestamp_s
        kept_s = self.meter.passed("record", begun_s)
        self._measure(lease, info.timestamp_s, unix_s)
        ended_s = self.meter.passed("measure", kept_s)
        if parts.alarms is not None and ended_s - self._told_s >= _EVERY_S:
            self._told_s = ended_s
            parts.alarms.frame(unix_s, begun_s)
        self.frames += 1
        self.numbered = info.sequence + 1
        self.latest_at_s = ended_s
        parts.board.frame_processed(self.frames)

    def _measure(self, lease: Lease, timestamp_s: float, unix_s: float) -> None:
        if self._next is not self._measuring:
            self._flush()
            self._measuring = self._next
        if self._measuring is None:
            return
        measured, parts = self._measuring.take(lease.pixels, timestamp_s, unix_s), self._parts
        if measured.levels and parts.alarms is not None:
            parts.alarms.levels(unix_s, measured.levels, parts.clock.steady_s)
        if measured.limits and parts.alarms is not None:
            behind_s = measured.behind_s
            parts.alarms.limits(unix_s - behind_s, measured.limits, parts.clock.steady_s - behind_s)
        self._hand_over(measured.block)

    def _flush(self) -> None:
        self._hand_over(self._measuring.flush() if self._measuring is not None else None)
        self._source = self._parts.settings()

    def _hand_over(self, block: SeriesBlock | None) -> None:
        if block is not None:
            if self._parts.store is not None:
                self._parts.store(replace(block, measured_by=self._source))
            self._source = self._parts.settings()


def camera_health(
    base: CameraHealth, supervisor: CameraSupervisor, loop: FrameLoop, totals: Mapping[str, int]
) -> CameraHealth:
    """Status of the camera; ``base`` holds the constant fields."""
    state, rate = supervisor.state(), loop.meter.rate
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
    found = loop.meter.times.summaries()
    magnified = magnifying.meter.times.summaries()
    return found | {name: magnified[name] for name in ("step", "output", "total") if name in magnified}
