"""Reader of pairs of both modes from a source of frames; nothing is copied."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

from tremorscope.calibration.capture.frames import FrameSource
from tremorscope.calibration.pairs.calibration_set import PairMode
from tremorscope.calibration.pairs.set_writer import NewPair
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease


class _Frame(NamedTuple):
    lease: Lease
    info: FrameInfo

    def seconds_after(self, before: _Frame) -> float:
        return self.info.timestamp_s - before.info.timestamp_s

    def follows(self, before: _Frame) -> bool:
        same = self.info.segment == before.info.segment
        return same and self.info.sequence == before.info.sequence + 1


class PairReader:
    """Holds the newest frame, the one before it, and a reference for static mode.

    The pictures of a pair are the reader's own, and gone when it reads on.
    """

    def __init__(
        self,
        source: FrameSource,
        captured_at: Callable[[float], datetime],
        *,
        longest_s: float,
        settle_s: float = 0.0,
    ) -> None:
        """Start at the source's next frame.

        Args:
            source: open; closed with the reader.
            captured_at: capture time of a frame that has been read just now, from its time on the source's clock.
            longest_s: age at which the reference is replaced.
            settle_s: time after each opening in which exposure and white balance settle; its frames are skipped.
        """
        self._source, self._captured_at = source, captured_at
        self._longest_s, self._settle_s = longest_s, settle_s
        self._frame: _Frame | None = None
        self._previous: _Frame | None = None
        self._reference: _Frame | None = None
        self._first_s: float | None = None
        self._opened: FrameInfo | None = None

    def advance(self) -> bool:
        """Read one frame; False at the end.

        Raises:
            Fault: the source cannot be read on.
        """
        frame = self._settled()
        if frame is None:
            return False
        if self._previous is not None:
            self._previous.lease.release()
        self._previous, self._frame = self._frame, frame
        if self._first_s is None:
            self._first_s = frame.info.timestamp_s
        held = self._reference
        if (
            held is None
            or held.info.segment != frame.info.segment
            or frame.seconds_after(held) > self._longest_s
        ):
            if held is not None:
                held.lease.release()
            self._reference = _Frame(frame.lease.share("the reference of a pair"), frame.info)
        return True

    def advance_to(self, elapsed_s: float) -> bool:
        """Read on until ``elapsed_s`` after the first frame, on the source's clock; False if it ends before."""
        while self._frame is None or self._frame.info.timestamp_s - (self._first_s or 0.0) < elapsed_s:
            if not self.advance():
                return False
        return True

    def neighbours(self) -> NewPair | None:
        """Pair of the newest frame and the one before it; reads on past a gap. None at the end."""
        while self._frame is None or self._previous is None or not self._frame.follows(self._previous):
            if not self.advance():
                return None
        return self._pair(self._frame, self._previous, "dynamic")

    def long_apart(self, at_least_s: float) -> NewPair | None:
        """Pair of the newest frame and the reference; reads on to an age of ``at_least_s``. None at the end."""
        while (
            self._frame is None
            or self._reference is None
            or self._frame.seconds_after(self._reference) < at_least_s
        ):
            if not self.advance():
                return None
        return self._pair(self._frame, self._reference, "static")

    def close(self) -> None:
        """Release all frames and close the source."""
        for frame in (self._frame, self._previous, self._reference):
            if frame is not None:
                frame.lease.release()
        self._frame = self._previous = self._reference = None
        self._source.close()

    def _settled(self) -> _Frame | None:
        """The next frame after the exposure has settled."""
        while (lease := self._source.take()) is not None:
            info = lease.info
            assert info is not None
            if self._opened is None or info.segment != self._opened.segment:
                self._opened = info
            if info.timestamp_s - self._opened.timestamp_s >= self._settle_s:
                return _Frame(lease, info)
            lease.release()
        return None

    def _pair(self, frame: _Frame, reference: _Frame, mode: PairMode) -> NewPair:
        return NewPair(
            frame.lease.pixels,
            reference.lease.pixels,
            self._captured_at(frame.info.timestamp_s),
            mode,
            frames_apart=frame.info.sequence - reference.info.sequence,
            seconds_apart=max(0.0, frame.seconds_after(reference)),
        )
