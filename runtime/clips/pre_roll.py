"""Ring of the camera's latest raw frames, in preallocated memory, for the pre-roll of clips."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.settings import RecordingSettings
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.frames.buffers import CHANNELS, FrameFormat, FrameRing
from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels

Magnify = Callable[[NDArray[np.uint8], NDArray[np.uint8], float], None]
"""Magnifies a frame into a second buffer, both u8[H, W, 3], with the frame's time in seconds; the frame stays unchanged
until the next call."""

_NOT_WHOLE = -1
_SLACK_S = 2.0
"""Time kept beyond the pre-roll, by which recording may lag before it loses frames."""


@dataclass(frozen=True)
class ClipMagnifier:
    """Source of the magnifiers of clips; both are called in the thread that uses the result."""

    make: Callable[[], Magnify]
    """Called at the start of each event."""
    prepare: Callable[[], None] = lambda: None
    """Called repeatedly between events."""


class FrameHistory:
    """Ring of frames with their times, without locks: one thread writes, others read, and none waits.

    A reader that is too slow gets None for a frame that was overwritten. Frames are numbered from 0 in the order
    in which they were put.
    """

    def __init__(self, slots: int, frames: FrameFormat, account: CopyAccount | None = None) -> None:
        """Allocate the ring; ``account`` counts the copied pixels.

        Raises:
            MemoryError: the system has no room for it.
        """
        self.frames, self._account = frames, account
        self._ring = FrameRing(slots, width_px=frames.width_px, height_px=frames.height_px)
        self._numbers: NDArray[np.int64] = np.full(slots, _NOT_WHOLE, np.int64)
        self._times: NDArray[np.float64] = np.zeros(slots, np.float64)
        self.count = 0
        """Number of frames ever put, which is the number of the next."""

    @classmethod
    def for_clips(
        cls, settings: RecordingSettings, frames: FrameFormat, account: CopyAccount | None = None
    ) -> FrameHistory:
        """A ring that holds the pre-roll of clips.

        Raises:
            OptionFault: it would take more memory than is allowed.
            MemoryError: the system has no room for it.
        """
        slots = slots_for(
            settings, rate_hz=frames.rate_hz, width_px=frames.width_px, height_px=frames.height_px
        )
        return cls(slots, frames, account)

    @property
    def oldest(self) -> int:
        """Number of the oldest frame that can be read without the next one overwriting it."""
        return max(0, self.count - self._ring.slots + 1)

    def put(self, frame: NDArray[np.uint8], timestamp_s: float) -> int:
        """Copy a frame, u8[H, W, 3], over the oldest and return its number."""
        number = self.count
        slot = number % self._ring.slots
        # A slot has no number while it is overwritten, so that no reader gets a torn frame.
        self._numbers[slot] = _NOT_WHOLE
        copy_pixels(frame, self._ring.frame(number), self._account, "clips: frame kept")
        self._times[slot] = timestamp_s
        self._numbers[slot] = number
        self.count = number + 1
        return number

    def read(self, number: int, frame: NDArray[np.uint8]) -> float | None:
        """Copy a frame out and return its time, or None if it is not there or was overwritten meanwhile."""
        slot = number % self._ring.slots
        if self._numbers[slot] != number:
            return None
        timestamp_s = float(self._times[slot])
        copy_pixels(self._ring.frame(number), frame, self._account, "clips: frame taken")
        return timestamp_s if self._numbers[slot] == number else None

    def first_from(self, time_s: float, at_least: int) -> int:
        """Number of the first frame from ``at_least`` on that is not older than ``time_s``; ``count`` if none."""
        for number in range(max(self.oldest, at_least), self.count):
            if self._times[number % self._ring.slots] >= time_s:
                return number
        return self.count


def slots_for(settings: RecordingSettings, *, rate_hz: float, width_px: int, height_px: int) -> int:
    """Number of frames to keep for the pre-roll of clips.

    Raises:
        OptionFault: they would take more memory than is allowed.
    """
    kept_s, memory_bytes = settings.pre_roll_s + _SLACK_S, settings.memory_mb << 20
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
    """Transfer of frames from the history to the writer of one clip after the other, in preallocated memory."""

    def __init__(self, history: FrameHistory, magnifier: ClipMagnifier | None) -> None:
        self._history, self._magnifier = history, magnifier
        width_px, height_px = history.frames.width_px, history.frames.height_px
        # Two, because the frame of one step may be the reference of the next.
        self._frames = FrameRing(2, width_px=width_px, height_px=height_px)
        self._magnified = FrameRing(1, width_px=width_px, height_px=height_px).frame(0)
        self._magnify: Magnify | None = None
        self._taken = 0
        self.dropped = 0
        """Frames of the clip that were overwritten before they were taken."""
        self.first_s = 0.0
        self.last_s: float | None = None
        """Times of the first and the last frame that were written; None before the first."""

    def begin(self) -> None:
        """Begin a clip."""
        self._taken = self.dropped = 0
        self.last_s = None
        if self._magnifier is not None:
            self._magnify = self._magnifier.make()

    def carry(self, number: int, upto: int, write: Callable[[NDArray[np.uint8], float], None]) -> int:
        """Write the frame of a number, magnified if wanted; returns the number to continue with.

        If it was overwritten, it and those before the oldest one left are counted as dropped.
        """
        frame = self._frames.frame(self._taken)
        timestamp_s = self._history.read(number, frame)
        if timestamp_s is None:
            left = min(max(self._history.oldest, number + 1), upto)
            self.dropped += left - number
            return left
        self._taken += 1
        if self._magnify is not None:
            self._magnify(frame, self._magnified, timestamp_s)
            frame = self._magnified
        write(frame, timestamp_s)
        if self.last_s is None:
            self.first_s = timestamp_s
        self.last_s = timestamp_s
        return number + 1
