"""The live loop: one frame at a time from the camera through the magnifier to the outputs.

    supervisor -> advance(): take a frame, magnify it, leave both in the outlets -> outputs, in their own threads

One thread calls ``advance`` again and again, which waits for the next frame alone, for a stated time.
Faults of the camera do not reach the loop: the supervisor recovers, and the loop sees a gap and a new segment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.rates import MeasuredRate, RateWindow
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.frames.stage_times import StageLatencies
from tremorscope.runtime.live.outlets import Outlet, OutletState, pictures_held
from tremorscope.runtime.magnification.magnifier import FrameMagnifier

STAGES = ("capture", "wait", "step", "output", "total")
"""Timed stages of each frame, in seconds.

capture: from the sensor to the whole frame in the ring, copies included; only where the camera knows when that was.
wait: in the ring, until the loop took it.
step: the magnifier, from the frame to the finished picture; only of frames that were magnified.
output: leaving the picture in the outlets. The output's own time is in `SinkThread.times`.
total: all of it, from the capture, or where the camera does not know that, from the arrival in the ring.
"""
_RATE_EVERY_S = 1.0
_LOOP = "the live loop"


class FrameSource(Protocol):
    """Source of frames: `runtime.cameras.supervision.supervisor.CameraSupervisor`."""

    def take(self, timeout_s: float) -> Lease | None:
        """The oldest frame that waits, or None after ``timeout_s`` without one; to be released after use."""


@dataclass(frozen=True)
class PipelineState:
    """Counters of the loop, as of its last frame."""

    frames: int
    """Frames that passed the loop."""
    magnified: int
    """Frames that were magnified."""
    no_slot: int
    """Frames that were not magnified because outputs held more pictures than they stated."""
    missed: int
    """Frames lost before the loop, by gaps in their numbers; the supervisor counts the reasons."""
    segments: int
    """Segments: a new one begins where time or picture starts again."""
    rate: MeasuredRate | None
    """Measured from the sensor's timestamps, renewed once a second; None before there are enough of them."""
    outlets: tuple[OutletState, ...]


class LivePipeline:
    """Takes frames from a source, magnifies them, and leaves both in outlets; times every stage."""

    def __init__(
        self,
        source: FrameSource,
        magnifier: FrameMagnifier | None,
        pictures: LeasingRing,
        outlets: Sequence[Outlet],
        *,
        account: CopyAccount | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the loop together; all memory that it needs is in the two rings.

        Args:
            source: gives frames; its ring has as many slots as ``SupervisorSettings.slots`` says for
                ``held_by_consumer=frames_held(outlets)``.
            magnifier: magnifies them; None passes frames on as filmed.
            pictures: takes the magnified pictures, in ``pictures_held(outlets)`` slots or more.
            outlets: take the pictures, one for each output.
            account: of the pixels that the CPU copies; notified of the end of each frame.
            clock: the clock of ``FrameInfo.captured_s`` and ``arrived_s``.
        """
        if pictures.slots < pictures_held(outlets):
            raise ValueError(f"{pictures.slots} slots are too few for magnified pictures: see pictures_held")
        self._source, self._pictures, self._outlets, self._clock = source, pictures, tuple(outlets), clock
        self._magnifier = self._next_magnifier = magnifier
        self._account = account
        self._last: FrameInfo | None = None
        self._reference: Lease | None = None
        self._rested = False
        self._rate_due_s = 0.0
        self._frames = self._magnified = self._no_slot = self._missed = self._segments = 0
        self.magnifies = True
        """Set to False to pass frames on as filmed, e.g. without viewers; then to True to start anew."""
        self.latencies = StageLatencies(STAGES)
        """Times of each stage; may be read from any thread."""
        self.rate: MeasuredRate | None = None
        """See ``PipelineState.rate``."""
        self._window = RateWindow()

    def advance(self, timeout_s: float) -> FrameInfo | None:
        """Carry one frame from the source to the outlets; returns its data, or None if none came in time.

        Raises:
            EngineFault: the engine failed; the loop can be continued, with a magnifier that starts anew.
            OptionFault: the band lies above half of the rate that the camera has come down to.
            CameraFault: the camera's supervisor has ended.
            LeaseError: a mistake in the program: a frame was not released.
        """
        frame = self._source.take(timeout_s)
        if frame is None:
            return None
        with frame:
            assert frame.info is not None
            self._note(frame.info)
            magnified = self._magnify(frame)
            self._hand_over(frame, magnified)
        if self._account is not None:
            self._account.frame_done()
        return self._last

    def use(self, magnifier: FrameMagnifier | None) -> None:
        """Change the magnifier from the next frame on; may be called from any thread."""
        self._next_magnifier = magnifier

    def state(self) -> PipelineState:
        """Present counters; may be called from any thread."""
        return PipelineState(
            frames=self._frames,
            magnified=self._magnified,
            no_slot=self._no_slot,
            missed=self._missed,
            segments=self._segments,
            rate=self.rate,
            outlets=tuple(outlet.state() for outlet in self._outlets),
        )

    def close(self) -> None:
        """Release all frames and close the outlets; source and rings are the caller's."""
        self._forget()
        for outlet in self._outlets:
            outlet.close()

    def _note(self, info: FrameInfo) -> None:
        """Count a frame and its times."""
        taken_s, last = self._clock(), self._last
        if info.arrived_s is not None:
            if info.captured_s is not None:
                self.latencies.add("capture", info.arrived_s - info.captured_s)
            self.latencies.add("wait", taken_s - info.arrived_s)
        if last is None or info.segment != last.segment:
            self._segments += 1
            self._forget()
        if last is not None:
            self._missed += max(0, info.sequence - last.sequence - 1)
        self._frames += 1
        self._last = info
        self._window.add(info)
        if taken_s >= self._rate_due_s or self.rate is None:
            self._rate_due_s = taken_s + _RATE_EVERY_S
            self.rate = self._window.measure()

    def _magnify(self, frame: Lease) -> Lease | None:
        """The magnified picture, written and sealed, or None where there is none; to be released after use."""
        if self._next_magnifier is not self._magnifier:
            self._forget()
            self._magnifier = self._next_magnifier
        magnifier, info = self._magnifier, frame.info
        assert info is not None
        if magnifier is None or not self.magnifies:
            if not self._rested:  # the reference grows old meanwhile
                self._forget()
            self._rested = True
            return None
        self._rested = False
        picture = self._pictures.acquire(_LOOP)
        if picture is None:
            self._no_slot += 1
            return None
        begun_s, finished = self._clock(), False
        try:
            magnifier.step(frame.pixels, picture.pixels, info.timestamp_s)
            finished = True
        finally:
            if not finished:
                picture.release()
                self._forget()
        self.latencies.add("step", self._clock() - begun_s)
        self._magnified += 1
        picture.seal(info)
        # The step before is over: its reference can be released, and this frame takes its place.
        before, self._reference = self._reference, frame.share(_LOOP)
        if before is not None:
            before.release()
        return picture

    def _hand_over(self, frame: Lease, magnified: Lease | None) -> None:
        begun_s = self._clock()
        for outlet in self._outlets:
            outlet.offer(frame, magnified)
        if magnified is not None:
            magnified.release()
        ended_s, info = self._clock(), frame.info
        assert info is not None
        since_s = info.captured_s if info.captured_s is not None else info.arrived_s
        self.latencies.add("output", ended_s - begun_s)
        if since_s is not None:
            self.latencies.add("total", ended_s - since_s)

    def _forget(self) -> None:
        """Restart the magnifier and release its reference."""
        if self._magnifier is not None:
            self._magnifier.restart()
        if self._reference is not None:
            self._reference.release()
            self._reference = None
