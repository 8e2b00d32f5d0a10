"""Frames of a small ring, as a camera would have written them, for tests of those who lease frames."""

from __future__ import annotations

from typing import Any

from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.picture import LiveInfo


class Lent:
    """A ring whose frames are filled as told."""

    def __init__(self, slots: int, *, width_px: int, height_px: int) -> None:
        self.ring = LeasingRing(slots, width_px=width_px, height_px=height_px)

    def frame(self, pixels: Any, number: int = 0, timestamp_s: float = 0.0) -> Lease:
        """A sealed frame of these pixels, or of this value; the caller's to release."""
        lease = self.ring.acquire("the test's camera")
        assert lease is not None, f"no free slot: {self.ring.holders}"
        lease.pixels[:] = pixels
        lease.seal(FrameInfo(number, timestamp_s))
        return lease


class Shown:
    """Offers arrays to a live feed, as the live loop offers leases."""

    def __init__(self, feed: LiveFeed) -> None:
        self._feed = feed
        self._lent = Lent(10, width_px=feed.width_px, height_px=feed.height_px)

    def offer(self, frame: Any, magnified: Any, info: LiveInfo) -> bool:
        """See `LiveFeed.offer`; without viewers nothing is copied here either."""
        if not self._feed.wanted:
            return False
        with self._lent.frame(frame, info.sequence) as filmed:
            if magnified is None:
                return self._feed.offer(filmed, None, info)
            with self._lent.frame(magnified, info.sequence) as picture:
                return self._feed.offer(filmed, picture, info)

    def close(self) -> None:
        """Check that all pictures were given back; the feed is closed."""
        self._lent.ring.close()
