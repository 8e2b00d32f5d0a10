"""Bounded queue of whole frames for one consumer; the newest replace the oldest."""

from __future__ import annotations

from collections import deque

from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing

_CAMERA = "the camera"


class Mailbox:
    """Takes frames over from the camera and gives them out in order; counts those that are replaced.

    It never waits. Not thread-safe: the caller holds a lock.
    """

    def __init__(self, ring: LeasingRing, *, most_waiting: int) -> None:
        self._ring = ring
        self._most_waiting = most_waiting
        self._waiting: deque[Lease] = deque()
        self.taken = 0
        """Frames that the consumer got."""
        self.late = 0
        """Frames that a newer one pushed out."""
        self.no_slot = 0
        """Frames that were refused because the consumer held every slot."""

    def __len__(self) -> int:
        return len(self._waiting)

    def free_slot(self) -> Lease | None:
        """A slot to write into, at the cost of the oldest frame that waits if need be; None if there is none.

        Raises:
            LeaseError: a frame was never released.
        """
        lease = self._ring.acquire(_CAMERA)
        if lease is None and self._waiting:
            self._push_out()
            lease = self._ring.acquire(_CAMERA)
        return lease

    def put(self, lease: Lease, info: FrameInfo) -> Lease:
        """Take over the frame in ``lease``; returns the slot for the next: the same, if this one was refused.

        Raises:
            LeaseError: a frame was never released; ``lease`` remains the caller's.
        """
        if len(self._waiting) >= self._most_waiting:
            self._push_out()
        following = self.free_slot()
        if following is None:
            self.no_slot += 1
            return lease
        lease.seal(info)
        self._waiting.append(lease)
        return following

    def take(self, holder: str) -> Lease | None:
        """The oldest frame that waits, now held by ``holder``, or None."""
        if not self._waiting:
            return None
        self.taken += 1
        lease = self._waiting.popleft()
        lease.hand_to(holder)
        return lease

    def clear(self) -> int:
        """Release all frames that wait; returns how many there were."""
        count = len(self._waiting)
        while self._waiting:
            self._waiting.popleft().release()
        return count

    def _push_out(self) -> None:
        self._waiting.popleft().release()
        self.late += 1
