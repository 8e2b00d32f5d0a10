"""Magnifying half of the live loop: takes the newest frame, magnifies it, and shows both.

One thread calls ``advance`` again and again, which waits for the next frame alone, for a stated time.
Faults of the camera do not reach the loop: the supervisor recovers, and the loop sees a gap and a new segment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.meter import FrameMeter
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.magnification.magnifier import FrameMagnifier

HELD = 2
"""Frames that the loop holds at most: that in the engine and the one before, which may be its reference."""
_LOOP = "the magnifying loop"


class FrameSource(Protocol):
    """Source of frames: `runtime.frames.latest.Latest`."""

    def take(self, timeout_s: float) -> Lease | None:
        """The oldest frame that waits, or None after ``timeout_s`` without one; to be released after use."""


class MagnifyLoop:
    """Takes frames from a source, magnifies them into leased pictures, and shows both; times every stage."""

    def __init__(
        self,
        source: FrameSource,
        pictures: LeasingRing,
        show: Callable[[Lease, Lease | None], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the loop together; all memory that it needs is in the rings of frames and pictures.

        Args:
            source: gives frames, of which `HELD` are held at a time.
            pictures: takes the magnified pictures: one, and as many as ``show`` keeps.
            show: called with the frame and its magnified picture, or None where it was not magnified; may share both,
                must not wait.
            clock: the clock of ``FrameInfo.captured_s`` and ``arrived_s``.
        """
        self._source, self._pictures, self._show, self._clock = source, pictures, show, clock
        self._magnifier: FrameMagnifier | None = None
        self._next_magnifier: FrameMagnifier | None = None
        self._segment: int | None = None
        self._reference: Lease | None = None
        self._rested = False
        self.magnifies = True
        """Set to False to show frames as filmed, e.g. when the device is too hot; then to True to start anew."""
        self.meter = FrameMeter(clock)
        """Rate and stage times of the frames that are shown."""
        self.magnified = 0
        """Frames that were magnified."""
        self.no_slot = 0
        """Frames that were not magnified because every slot for pictures was held."""

    def advance(self, timeout_s: float) -> FrameInfo | None:
        """Magnify and show one frame; returns its data, or None if none came in time.

        Raises:
            EngineFault: the engine failed; the loop can be continued, with a magnifier that starts anew.
            OptionFault: the band lies above half of the rate that the camera has come down to.
            LeaseError: a mistake in the program: a frame was not released.
        """
        frame = self._source.take(timeout_s)
        if frame is None:
            return None
        with frame:
            info = frame.info
            assert info is not None
            self.meter.took(info)
            if info.segment != self._segment:
                self._segment = info.segment
                self._forget()
            magnified = self._magnify(frame)
            begun_s = self._clock()
            self._show(frame, magnified)
            if magnified is not None:
                magnified.release()
            self.meter.passed("output", begun_s)
            self.meter.finished(info)
        return info

    def use(self, magnifier: FrameMagnifier | None) -> None:
        """Change the magnifier from the next frame on, None to show frames as filmed; any thread may call it."""
        self._next_magnifier = magnifier

    def close(self) -> None:
        """Release all frames; source and rings are the caller's."""
        self._forget()

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
            self.no_slot += 1
            return None
        begun_s, finished = self._clock(), False
        try:
            magnifier.step(frame.pixels, picture.pixels, info.timestamp_s)
            finished = True
        finally:
            if not finished:
                picture.release()
                self._forget()
        self.meter.passed("step", begun_s)
        self.magnified += 1
        picture.seal(info)
        # The step before is over: its reference can be released, and this frame takes its place.
        before, self._reference = self._reference, frame.share(_LOOP)
        if before is not None:
            before.release()
        return picture

    def _forget(self) -> None:
        """Restart the magnifier and release its reference."""
        if self._magnifier is not None:
            self._magnifier.restart()
        if self._reference is not None:
            self._reference.release()
            self._reference = None
