"""Frames with an explicit lifetime: a slot is acquired, leased to its users, and free when all have released it.

Where frames pass in lockstep `runtime.frames.buffers.FrameRing` does; a live camera, a consumer that may be slow and a
reference that is kept need to say how long each of them uses a frame. Nothing is copied: whoever wants the
previous frame as a reference keeps its lease one step longer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.buffers import CHANNELS, Allocator, allocate_frames, allocate_host
from tremorscope.runtime.frames.frame import FrameInfo


class LeaseError(RuntimeError):
    """A mistake in the program: a frame was released twice, used after its release, or never released."""


class Lease:
    """One holder's right to one frame. Release it once, or use it as a context manager.

    The first lease of a slot may write; ``seal`` makes the frame read-only for this and all other holders.
    """

    __slots__ = ("_holder", "_ring", "_slot", "info")

    def __init__(self, ring: LeasingRing, slot: int, holder: str, info: FrameInfo | None) -> None:
        self._ring = ring
        self._slot: int | None = slot
        self._holder = holder
        self.info = info
        """Number, time and segment of the frame; None until it is sealed."""

    @property
    def pixels(self) -> NDArray[np.uint8]:
        """The frame, u8[H, W, C], contiguous, page-aligned; writable until it is sealed.

        Raises:
            LeaseError: the lease has been released.
        """
        frames = self._ring._writable if self.info is None else self._ring._readable
        return frames[self._used()]

    def seal(self, info: FrameInfo) -> None:
        """Declare the frame complete: from now on it can be read and shared, and no longer written.

        Raises:
            LeaseError: it is sealed or released already.
        """
        self._used()
        if self.info is not None:
            raise LeaseError(f"frame {self.info.sequence} was sealed twice, by {self._holder}")
        self.info = info

    def share(self, holder: str) -> Lease:
        """A further lease of the same frame, for another holder, to be released apart from this one.

        Raises:
            LeaseError: the frame is not sealed, or this lease has been released.
        """
        slot, ring = self._used(), self._ring
        if self.info is None:
            raise LeaseError(f"{self._holder} shared a frame that is still being written")
        with ring._lock:
            ring._holders[slot].append(holder)
        return Lease(ring, slot, holder, self.info)

    def hand_to(self, holder: str) -> None:
        """Rename the holder of this lease, so that a leak is reported under the right name.

        Raises:
            LeaseError: the lease has been released.
        """
        slot, ring = self._used(), self._ring
        with ring._lock:
            holders = ring._holders[slot]
            holders[holders.index(self._holder)] = holder
        self._holder = holder

    def release(self) -> None:
        """Release the frame; its slot is free when the last lease is released.

        Raises:
            LeaseError: it has been released already.
        """
        slot, ring = self._used(), self._ring
        self._slot = None
        with ring._lock:
            holders = ring._holders[slot]
            holders.remove(self._holder)
            if not holders:
                ring._free.append(slot)

    def _used(self) -> int:
        if self._slot is None:
            raise LeaseError(f"{self._holder} used or released a frame that it had released before")
        return self._slot

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._slot is not None:
            self.release()

    def __del__(self) -> None:
        if self._slot is not None:
            self._ring._leaked(self._holder, self.info)


class LeasingRing:
    """A fixed number of equal slots in one block of memory, each free or held by one or more leases.

    Every slot begins on a page of its own, as memory that a device maps must (`allocate_frames`). Any thread may
    acquire, share and release; none of them waits for a frame.
    """

    def __init__(
        self,
        slots: int,
        *,
        width_px: int,
        height_px: int,
        channels: int = CHANNELS,
        allocate: Allocator = allocate_host,
    ) -> None:
        """Make the memory, ``slots`` times a frame's bytes rounded up to whole pages; see `FrameRing`.

        Raises:
            MemoryError: there is no room for it.
        """
        self._writable = allocate_frames(
            slots, width_px=width_px, height_px=height_px, channels=channels, allocate=allocate
        )
        self.width_px, self.height_px, self.channels, self.slots = width_px, height_px, channels, slots
        self._readable = tuple(_read_only(frame) for frame in self._writable)
        self._lock = threading.Lock()
        self._holders: tuple[list[str], ...] = tuple([] for _ in range(slots))
        self._free = deque(range(slots), maxlen=slots)
        self._leaks: deque[str] = deque(maxlen=slots)
        self.reclaim: Callable[[], bool] = lambda: False
        """Called where all slots are held: releases a lease that can be spared, and returns False if there is none."""

    @property
    def free(self) -> int:
        """Number of slots without a lease."""
        return len(self._free)

    @property
    def holders(self) -> tuple[str, ...]:
        """Names of the present holders, one a lease."""
        with self._lock:
            return tuple(holder for holders in self._holders for holder in holders)

    def acquire(self, holder: str) -> Lease | None:
        """A free slot to write a frame into, or None where all are held and none can be reclaimed; never waits.

        Raises:
            LeaseError: a lease was lost without being released, so that its slot can never come back; or the ring
                is closed.
        """
        self._refuse_leaks()
        if not self._writable:
            raise LeaseError(f"{holder} wants a frame of a ring that is closed")
        while True:
            with self._lock:
                if self._free:
                    # The slot that has been free longest: a reader that broke the rules is as late as can be.
                    slot = self._free.popleft()
                    self._holders[slot].append(holder)
                    return Lease(self, slot, holder, None)
            if not self.reclaim():
                return None

    def close(self) -> None:
        """Check that every frame was released, and drop the memory, which a device can unmap then.

        Raises:
            LeaseError: a frame is held still, or a lease was lost; the message names the holders.
        """
        self._refuse_leaks()
        if holders := self.holders:
            raise LeaseError(f"frames are held still by {', '.join(sorted(set(holders)))}")
        self._writable = self._readable = ()

    def _refuse_leaks(self) -> None:
        if self._leaks:
            raise LeaseError(f"never released: {', '.join(self._leaks)}")

    def _leaked(self, holder: str, info: FrameInfo | None) -> None:
        # Runs wherever garbage is collected, perhaps in the midst of a locked section: it must not lock.
        frame = "a frame that was never finished" if info is None else f"frame {info.sequence}"
        self._leaks.append(f"{frame} of {holder}")


def _read_only(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    view: NDArray[np.uint8] = frame.view()
    view.flags.writeable = False
    return view
