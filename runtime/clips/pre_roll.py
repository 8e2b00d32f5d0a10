"""Pre-roll of clips: the camera's latest raw frames, which stay in the camera's ring for a while."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.errors import OptionFault, OutputFault
from tremorscope.runtime.frames.buffers import CHANNELS, FrameFormat, FrameRing
from tremorscope.runtime.frames.ring import Lease

Magnify = Callable[[NDArray[np.uint8], NDArray[np.uint8], float], None]
"""Magnifies a frame into a second buffer, both u8[H, W, 3], with the frame's time in seconds; the frame stays unchanged
until the next call has returned."""

_HOLDER, _WRITER = "the pre-roll", "the writer of clips"
_SLACK_S = 2.0
"""Time kept beyond the pre-roll, by which recording may lag before it loses frames."""


@dataclass(frozen=True)
class ClipMagnifier:
    """Source of the magnifiers of clips; both are called in the thread that uses the result."""

    make: Callable[[], Magnify]
    """Called at the start of each event."""
    prepare: Callable[[], None] = lambda: None
    """Called repeatedly between events."""
    told: Callable[[], str] = lambda: ""
    """Text that says how the latest of ``make`` magnifies."""


class FrameHistory:
    """Latest frames of the camera, held in its ring. Frames are numbered from 0 in the order in which they were put.

    One thread puts, others take leases of what is there, and none waits. Where the camera needs a slot,
    `give_back` lets the oldest frame go.
    """

    def __init__(self, slots: int, frames: FrameFormat) -> None:
        """Begin empty; the ring has ``slots`` slots for these frames."""
        self.frames, self._slots = frames, slots
        self._kept: deque[Lease] = deque()
        self._lock = threading.Lock()
        self.count = 0
        """Number of frames ever put, which is the number of the next."""

    @property
    def oldest(self) -> int:
        """Number of the oldest frame that is there; ``count`` if there is none."""
        return self.count - len(self._kept)

    def put(self, frame: Lease) -> int:
        """Keep a frame in place of the oldest, and return its number; the caller's lease remains the caller's."""
        with self._lock:
            if len(self._kept) >= self._slots:
                self._kept.popleft().release()
            self._kept.append(frame.share(_HOLDER))
            self.count += 1
            return self.count - 1

    def give_back(self) -> bool:
        """Let the oldest frame go; False if there is none. See ``LeasingRing.reclaim``."""
        with self._lock:
            if self._kept:
                self._kept.popleft().release()
                return True
            return False

    def lease(self, number: int, holder: str) -> Lease | None:
        """A further lease of a frame, or None if it is not there any more."""
        with self._lock:
            at = number - self.oldest
            return self._kept[at].share(holder) if 0 <= at < len(self._kept) else None

    def first_from(self, time_s: float, at_least: int) -> int:
        """Number of the first frame from ``at_least`` on that is not older than ``time_s``; ``count`` if none."""
        with self._lock:
            later = (
                number
                for number, frame in enumerate(self._kept, self.oldest)
                if number >= at_least and time_of(frame) >= time_s
            )
            return next(later, self.count)

    def clear(self) -> None:
        """Let all frames go."""
        while self.give_back():
            pass


def time_of(frame: Lease) -> float:
    """The camera's time of a frame, in seconds."""
    assert frame.info is not None
    return frame.info.timestamp_s


def slots_for(settings: RecordingSettings, frames: FrameFormat) -> int:
    """Number of frames to keep for the pre-roll of clips.

    Raises:
        OptionFault: they would take more memory than is allowed.
    """
    kept_s, memory_bytes = settings.pre_roll_s + _SLACK_S, settings.memory_mb << 20
    rate_hz, width_px, height_px = frames.rate_hz, frames.width_px, frames.height_px
    slots = math.ceil(kept_s * rate_hz) + 2
    frame_bytes = width_px * height_px * CHANNELS
    if slots * frame_bytes > memory_bytes:
        fits_s = max(0.0, (memory_bytes // frame_bytes - 2) / rate_hz)
        raise OptionFault(
            f"keeping {kept_s:g} s of {width_px}x{height_px} px at {rate_hz:g} Hz takes "
            f"{slots * frame_bytes / 1e6:.0f} MB of memory, and {memory_bytes / 1e6:.0f} MB are allowed",
            remedy=f"shorten the pre-roll by {kept_s - fits_s:.1f} s or allow more memory",
        )
    return slots


class ClipFrames:
    """Transfer of frames from the history to the writer of one clip after the other."""

    def __init__(self, history: FrameHistory, magnifier: ClipMagnifier | None) -> None:
        self._history, self._magnifier = history, magnifier
        self._magnified: NDArray[np.uint8] | None = None
        if magnifier is not None:
            width_px, height_px = history.frames.size_px
            self._magnified = FrameRing(1, width_px=width_px, height_px=height_px).frame(0)
        self.magnify: Magnify | None = None
        """Magnifier of the present clip; None of raw clips."""
        self.told = magnifier.told if magnifier else lambda: ""
        self._held: Lease | None = None
        self.dropped = 0
        """Frames of the clip that were gone before they were taken."""
        self.first_s = 0.0
        self.last_s: float | None = None
        """Times of the first and the last frame that were written; None before the first."""

    def begin(self) -> None:
        """Begin a clip."""
        self.dropped = 0
        self.last_s = None
        if self._magnifier is not None:
            self.magnify = self._magnifier.make()

    def carry(self, number: int, upto: int, write: Callable[[NDArray[np.uint8], float], None]) -> int:
        """Write the frame of a number, magnified if wanted; returns the number to continue with.

        If it is gone, it and those before the oldest one left are counted as dropped.
        """
        frame = self._history.lease(number, _WRITER)
        if frame is None:
            left = min(max(self._history.oldest, number + 1), upto)
            self.dropped += left - number
            return left
        # The frame before may be the reference of this step.
        before, self._held = self._held, frame
        picture, timestamp_s = frame.pixels, time_of(frame)
        try:
            if self.magnify is not None and self._magnified is not None:
                self.magnify(picture, self._magnified, timestamp_s)
                picture = self._magnified
            write(picture, timestamp_s)
        finally:
            if before is not None:
                before.release()
        if self.last_s is None:
            self.first_s = timestamp_s
        self.last_s = timestamp_s
        return number + 1

    def nothing_left(self, file: str) -> OutputFault:
        """The fault of a clip of which no frame could be written."""
        what, remedy = "no frame was left to record", "lengthen the pre- or post-roll"
        if self.dropped:
            what = f"all {self.dropped} frames were gone before they were written"
            remedy = "give the device less to do"
        return OutputFault(f"{file}: {what}", remedy=remedy)

    def end(self) -> None:
        """End a clip, whole or not: no frame is held any more."""
        held, self._held = self._held, None
        if held is not None:
            held.release()
