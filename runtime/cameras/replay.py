"""Replay of a clip or of the synthetic structure as a live camera: at its own rate, late frames are dropped."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.frame import Camera, FrameInfo

Pace = Literal["true", "fast"]
"""true: every frame when it is due by its timestamp; fast: as soon as it is asked for."""
_LONGEST_CATCH_UP_S = 1.0


class ReplayCamera:
    """Replays a source, once or in a loop in which times and numbers go on.

    At its true rate a frame is given out when it is due. A reader so late that the next frame is due as well misses
    the frames in between, as with a real camera: their numbers are skipped, and ``dropped`` counts
    them. A source that cannot be decoded at its own rate is not skipped through to its end: after a second of catching
    up the replay goes on from where it is, and ``slipped_s`` counts the time by which it runs late.

    In a loop the first frame follows the last after one more of the last interval; the picture jumps there.
    """

    def __init__(
        self,
        open_source: Callable[[], Camera],
        *,
        pace: Pace = "true",
        loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        """Open the source.

        Args:
            open_source: opens it at its beginning, e.g. ``lambda: ClipCamera(path)``; called again for each loop.
            pace: at its true rate, or as fast as it is read.
            loop: whether to begin again at the end.
            clock: seconds on a clock that never goes back.
            wait: waits so many seconds; None waits until then or until ``close``.

        Raises:
            Fault: the source cannot be opened.
        """
        self._open_source = open_source
        self._source = open_source()
        self._pace, self._loop, self._clock = pace, loop, clock
        self._closed = threading.Event()
        self._wait = wait or self._closed.wait
        self._width_px, self._height_px = self._source.width_px, self._source.height_px
        self._rate_hz = self._source.nominal_rate_hz
        self._interval_s = 1 / self._rate_hz
        self._last: FrameInfo | None = None
        self._sequence_offset, self._time_offset_s = 0, 0.0
        self._starts_at_s: float | None = None
        self._begins_anew = False
        self.dropped = 0
        """Frames that were skipped because they were asked for too late."""
        self.slipped_s = 0.0
        """Seconds by which the replay has fallen behind its own time for good."""
        self.loops = 0
        """Number of times that it has begun again."""

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the source states them."""
        return self._rate_hz

    @property
    def pixel_aspect(self) -> float:
        """Width over height of one pixel; 1 for square pixels."""
        return float(getattr(self._source, "pixel_aspect", 1.0))

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Wait for the next frame and write it into ``pixels``, u8[H, W, 3] RGB; None at the end or once closed.

        Raises:
            Fault: the source cannot be read on, or changes its size from one loop to the next.
        """
        give_up_at_s = self._clock() + _LONGEST_CATCH_UP_S
        while not self._closed.is_set():
            info = self._next(pixels)
            if info is None:
                return None
            if self._pace == "fast":
                return info
            late_s = self._lateness(info)
            if late_s < 0:
                self._wait(-late_s)
                return None if self._closed.is_set() else self._dated(info)
            if late_s < self._interval_s:
                return self._dated(info)
            if self._clock() >= give_up_at_s:
                self._slip(late_s)
                return self._dated(info)
            self.dropped += 1
        return None

    def close(self) -> None:
        """Close the source and end a wait for the next frame; closing twice is harmless."""
        self._closed.set()
        self._source.close()

    def _lateness(self, info: FrameInfo) -> float:
        """Seconds by which a frame is overdue; negative before its time."""
        now_s = self._clock()
        if self._starts_at_s is None:
            self._starts_at_s = now_s - info.timestamp_s
        return now_s - (self._starts_at_s + info.timestamp_s)

    def _dated(self, info: FrameInfo) -> FrameInfo:
        """A frame with the time at which a camera would have captured it: when it was due."""
        assert self._starts_at_s is not None
        captured_s = self._starts_at_s + info.timestamp_s
        return FrameInfo(info.sequence, info.timestamp_s, captured_s=captured_s)

    def _slip(self, late_s: float) -> None:
        assert self._starts_at_s is not None
        self._starts_at_s += late_s
        self.slipped_s += late_s

    def _next(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """The next frame on the replay's own axes of time and numbers."""
        info = self._source.read_into(pixels)
        if info is None and self._loop and self._last is not None:
            self._rewind()
            info = self._source.read_into(pixels)
        if info is None:
            return None
        if self._begins_anew and self._last is not None:
            self._begins_anew = False
            self._sequence_offset = self._last.sequence + 1 - info.sequence
            self._time_offset_s = self._last.timestamp_s + self._interval_s - info.timestamp_s
        placed = FrameInfo(info.sequence + self._sequence_offset, info.timestamp_s + self._time_offset_s)
        if self._last is not None:
            self._interval_s = placed.timestamp_s - self._last.timestamp_s
        self._last = placed
        return placed

    def _rewind(self) -> None:
        self._source.close()
        self._source = self._open_source()
        self.loops += 1
        self._begins_anew = True
        if (self._source.width_px, self._source.height_px) != (self._width_px, self._height_px):
            raise ClipFault(
                f"the replayed clip is now {self._source.width_px}x{self._source.height_px} px, and was "
                f"{self._width_px}x{self._height_px} px",
                remedy="do not replace a clip while it is replayed",
            )


class CapturedFasterCamera:
    """A clip that was filmed faster than it is played: its times are stretched or shrunk to those of the capture."""

    def __init__(self, source: Camera, capture_rate_hz: float) -> None:
        self._source = source
        self._scale = source.nominal_rate_hz / capture_rate_hz
        self.width_px, self.height_px = source.width_px, source.height_px
        self.nominal_rate_hz = capture_rate_hz
        self.pixel_aspect = float(getattr(source, "pixel_aspect", 1.0))

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels``, u8[H, W, 3] RGB, and return its data, or None at the end."""
        info = self._source.read_into(pixels)
        return info and replace(info, timestamp_s=info.timestamp_s * self._scale)

    def close(self) -> None:
        """Close the clip."""
        self._source.close()
