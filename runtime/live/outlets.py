"""Hand-over of pictures from the live loop to its outputs: bounded queues in which the newest pictures win.

An outlet is one output's queue. The loop adds a picture and goes on; the output takes it in a thread of its
own, and pictures that it is too slow for are dropped. Pixels are not copied: a picture is a lease on the
slots in which camera and engine left it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.frames.ring import Lease
from tremorscope.runtime.frames.stage_times import LatencyHistogram


class LivePicture:
    """One frame and, where it was magnified, its magnified picture, held for one output; release it after use."""

    __slots__ = ("frame", "info", "magnified")

    def __init__(self, frame: Lease, magnified: Lease | None) -> None:
        assert frame.info is not None
        self.frame = frame
        """As filmed: ``frame.pixels`` is u8[H, W, 3] RGB, read-only."""
        self.magnified = magnified
        """The magnified picture, of the same form; None where nothing was magnified."""
        self.info: FrameInfo = frame.info
        """Number, time and segment of the frame, on the supervisor's axes."""

    def release(self) -> None:
        """Release both leases.

        Raises:
            LeaseError: they have been released already.
        """
        self.frame.release()
        if self.magnified is not None:
            self.magnified.release()

    def __enter__(self) -> LivePicture:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


@dataclass(frozen=True)
class OutletState:
    """Counters of an outlet."""

    name: str
    offered: int
    """Pictures that the loop added."""
    taken: int
    """Pictures that the output took."""
    dropped: int
    """Pictures that a newer one pushed out, or that waited when the outlet closed."""
    waiting: int

    @property
    def drop_ratio(self) -> float:
        """Dropped pictures over offered ones."""
        return self.dropped / self.offered if self.offered else 0.0


class Outlet:
    """A bounded hand-over from the loop to one output, in which the newest pictures win.

    ``offer`` never waits; both sides hold the lock only to move a reference.
    """

    def __init__(
        self, name: str, *, most_waiting: int = 1, most_held: int = 1, wants_magnified: bool = True
    ) -> None:
        """Name the output; it begins empty.

        Args:
            name: of the output, for counters and for telling who leaked a frame.
            most_waiting: pictures that wait; a newer one pushes the oldest out.
            most_held: pictures that the output holds at a time.
            wants_magnified: whether it gets magnified pictures, and only frames that were magnified; otherwise it
                gets every frame as filmed.
        """
        if most_waiting < 1 or most_held < 1:
            raise ValueError(f"outlet {name}: at least one picture waits, and one is held")
        self.name, self.wants_magnified = name, wants_magnified
        self.slots = most_waiting + most_held
        """Slots of a ring that this output may hold."""
        self._most_waiting = most_waiting
        self._waiting: deque[LivePicture] = deque()
        self._came = threading.Condition()
        self._offered = self._taken = self._dropped = 0
        self._closed = False

    def offer(self, frame: Lease, magnified: Lease | None) -> None:
        """Add a picture, in place of the oldest if the queue is full; the loop keeps its own leases."""
        if self.wants_magnified and magnified is None:
            return
        with self._came:
            if self._closed:
                return
            if len(self._waiting) >= self._most_waiting:
                self._waiting.popleft().release()
                self._dropped += 1
            of_magnified = magnified.share(self.name) if self.wants_magnified and magnified else None
            self._waiting.append(LivePicture(frame.share(self.name), of_magnified))
            self._offered += 1
            self._came.notify()

    def take(self, timeout_s: float) -> LivePicture | None:
        """The oldest picture that waits, or None after ``timeout_s`` without one, or once closed."""
        with self._came:
            if not self._waiting and timeout_s > 0:
                self._came.wait_for(lambda: self._waiting or self._closed, timeout_s)
            if not self._waiting:
                return None
            self._taken += 1
            return self._waiting.popleft()

    def close(self) -> None:
        """Refuse further pictures, release the waiting ones, and wake the output; closing twice is harmless."""
        with self._came:
            self._closed = True
            self._dropped += len(self._waiting)
            while self._waiting:
                self._waiting.popleft().release()
            self._came.notify_all()

    @property
    def closed(self) -> bool:
        """True once the outlet is closed."""
        return self._closed

    def state(self) -> OutletState:
        """Present counters."""
        with self._came:
            return OutletState(self.name, self._offered, self._taken, self._dropped, len(self._waiting))


def frames_held(outlets: Sequence[Outlet]) -> int:
    """Frames that the loop and its outputs hold at most: ``held_by_consumer`` of `SupervisorSettings.slots`."""
    # The loop holds the frame in the engine and the one before, which may be its reference.
    return 2 + sum(outlet.slots for outlet in outlets)


def pictures_held(outlets: Sequence[Outlet]) -> int:
    """Slots that the ring of magnified pictures needs."""
    return 1 + sum(outlet.slots for outlet in outlets if outlet.wants_magnified)


class Sink(Protocol):
    """Consumer of an output's pictures, called in the output's own thread; it may be slow."""

    def show(self, picture: LivePicture) -> None:
        """Use a picture, which is released when this returns.

        Raises:
            Fault: the output has failed for good.
        """


class SinkThread:
    """Feeds one sink from its outlet, in a thread of its own, until the outlet closes or the sink fails."""

    def __init__(
        self,
        outlet: Outlet,
        sink: Sink,
        *,
        on_fault: Callable[[str, Fault], None] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Prepare; ``start`` begins.

        Args:
            outlet: gives the pictures; closed where the sink fails, so that it holds no frames.
            sink: uses them.
            on_fault: called with the outlet's name and the fault, in this thread.
            clock: seconds, for timing the sink.
        """
        self._outlet, self._sink, self._on_fault, self._clock = outlet, sink, on_fault, clock
        self._thread = threading.Thread(target=self._run, name=f"output {outlet.name}", daemon=True)
        self.times = LatencyHistogram()
        """Times of the sink for a picture."""
        self.fault: Fault | None = None
        """Fault that ended it early; None if there was none."""

    def start(self) -> None:
        """Begin to feed the sink."""
        self._thread.start()

    def close(self, timeout_s: float) -> bool:
        """Close the outlet and wait for the thread; returns False where the sink still hangs after ``timeout_s``."""
        self._outlet.close()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._outlet.closed:
            picture = self._outlet.take(timeout_s=1.0)
            if picture is None:
                continue
            begun_s = self._clock()
            try:
                with picture:
                    self._sink.show(picture)
            except Fault as fault:
                self.fault = fault
                self._outlet.close()
                if self._on_fault is not None:
                    self._on_fault(self._outlet.name, fault)
                return
            self.times.add(self._clock() - begun_s)
