"""Hand-over of frames between threads: from the loop that measures to the one that magnifies, and on to viewers."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.live.feed import LiveFeed, LiveInfo
from tremorscope.runtime.live.outlets import Outlet

_HOLDER = "magnifying"


class FrameBox:
    """Hand-over of one frame from the loop that measures to the one that magnifies: the newest wins, neither waits."""

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._lease: Lease | None = None
        self.skipped = 0
        """Frames replaced by a newer one before they were taken."""

    def put(self, frame: Lease) -> None:
        """Offer a frame; the caller keeps its own lease."""
        lease = frame.share(_HOLDER)
        with self._came:
            before, self._lease = self._lease, lease
            self.skipped += before is not None
            self._came.notify()
        if before is not None:
            before.release()

    def take(self, timeout_s: float) -> Lease | None:
        """The frame, to be released after use; None after ``timeout_s`` without one."""
        with self._came:
            if self._lease is None:
                self._came.wait_for(lambda: self._lease is not None, timeout_s)
            lease, self._lease = self._lease, None
            return lease

    def clear(self) -> None:
        """Release a frame that will not be taken."""
        with self._came:
            lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()


class LiveOutlet(Outlet):
    """Hands pictures from the loop to the live feed, which copies them: no slot is held."""

    def __init__(
        self,
        feed: LiveFeed,
        describe: Callable[[], tuple[float, float]],
        to_unix_s: Callable[[float], float],
    ) -> None:
        super().__init__("live feed", wants_magnified=False)
        self.slots = 0
        self._feed, self._describe, self._to_unix_s = feed, describe, to_unix_s

    def offer(self, frame: Lease, magnified: Lease | None) -> None:
        """Show a picture, if there is a viewer."""
        assert frame.info is not None
        amplification, settling_left_s = self._describe() if magnified is not None else (1.0, 0.0)
        self._feed.offer(
            frame.pixels,
            magnified.pixels if magnified is not None else None,
            LiveInfo(
                frame.info.sequence,
                self._to_unix_s(frame.info.timestamp_s),
                amplification,
                settling_left_s,
            ),
        )
