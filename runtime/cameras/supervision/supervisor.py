"""Supervisor of a camera that may fail: opens it again after faults, with a bound on every wait.

The rules and their numbers are in docs/cameras.md.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial

from tremorscope.runtime.cameras.supervision.faults import CameraEvent, FaultKind, FaultLog
from tremorscope.runtime.cameras.supervision.intake import Intake
from tremorscope.runtime.cameras.supervision.reader import Reader
from tremorscope.runtime.cameras.supervision.settings import Status, SupervisorSettings, SupervisorState
from tremorscope.runtime.cameras.supervision.watching import ReaderWatch
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.frame import Camera, FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeaseError, LeasingRing
from tremorscope.runtime.host.threads import Threads

_CONSUMER = "the consumer of the camera"
_LONGEST_WAIT_S = 60.0


class CameraSupervisor:
    """Owner of a camera: delivers its frames through all its faults; a slow consumer gets the newest.

    One thread reads, another watches it; both hold the lock only to move a frame or a number. The reading
    thread never waits for the consumer, and no call waits for the camera longer than asked.
    """

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        ring: LeasingRing,
        *,
        settings: SupervisorSettings | None = None,
        on_event: Callable[[CameraEvent], None] | None = None,
        on_frame: Callable[[Lease], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
        threads: Threads | None = None,
    ) -> None:
        """Prepare; ``start`` opens the camera.

        Args:
            open_camera: opens the camera, and raises a Fault where it cannot.
            ring: where frames go; of the size that is wanted, with ``SupervisorSettings.slots`` slots.
            settings: None takes the defaults.
            on_event: called by the watching thread at the beginning and end of every fault; it must return at once.
            on_frame: called by the reading thread with every frame for the consumer; may share it, must not wait.
            clock: seconds on a clock that never goes back.
            threads: starts both threads, and tells of the program error that ends one; None: its own.
        """
        settings = settings or SupervisorSettings()
        if ring.slots < settings.slots(held_by_consumer=1):
            raise ValueError(f"{ring.slots} slots are too few for a camera: see SupervisorSettings.slots")
        self._wanted = ring.width_px, ring.height_px
        self._settings, self._on_event, self._clock = settings, on_event, clock
        self._lock = threading.RLock()
        self._frames, self._attention = threading.Condition(self._lock), threading.Condition(self._lock)
        self._log = FaultLog()
        self._intake = Intake(ring, settings, self._log, on_frame, self._frames)
        self._threads = threads or Threads()
        make = partial(Reader, open_camera, self, self._threads, settings.reject_constant)
        self._watch = ReaderWatch(make, settings, self._log)
        self._thread: threading.Thread | None = None
        self._error: LeaseError | None = None
        self._ended = self._closing = self._is_awake = False

    def start(self) -> None:
        """Begin to watch and to open the camera; returns at once, whether there is a camera or not."""
        self._thread = self._threads.start("camera watch", self._run, owned=True)

    def take(self, timeout_s: float) -> Lease | None:
        """The oldest frame that waits, or None after ``timeout_s`` without one; release it after use.

        ``Lease.info`` has its number and time on axes that go on through all faults: numbers skip what was dropped,
        and ``segment`` rises where time or picture do not continue.

        Raises:
            LeaseError: the consumer lost a frame without releasing it.
            CameraFault: a mistake in the program has ended the watching thread.
        """
        with self._lock:
            self._frames.wait_for(lambda: self._intake.waiting or self._is_over(), timeout_s)
            if self._error is not None:
                raise self._error
            if (lease := self._intake.waiting.take()) is not None:
                lease.hand_to(_CONSUMER)
                return lease
            if self._thread is not None and not self._thread.is_alive() and not self._closing:
                raise CameraFault("the camera's watching thread has ended", remedy="restart the service")
            return None

    def reopen(self) -> None:
        """Make a waiting attempt to open the camera now, and restart the pauses; returns at once."""
        with self._lock:
            self._watch.hurry()
            self._wake()

    def state(self) -> SupervisorState:
        """State of the camera and its counters."""
        with self._lock:
            return SupervisorState(
                status=self._status(),
                active=self._log.active,
                taken=self._intake.waiting.taken,
                waiting=len(self._intake.waiting),
                drops=self._intake.drops,
                openings=self._watch.openings,
                opened_in_vain=self._watch.opened_in_vain,
                segments=self._intake.segments,
                abandoned_threads=len(self._watch.abandoned),
                events_lost=self._log.events_lost,
            )

    def close(self) -> SupervisorState:
        """Close the camera, for at most ``close_timeout_s``; a thread that hangs on is counted in the answer."""
        until_s = time.monotonic() + self._settings.close_timeout_s
        with self._lock:
            self._closing = True
            self._intake.given_up += self._intake.waiting.clear()
            self._wake()
            self._frames.notify_all()
            self._frames.wait_for(lambda: self._watch.reader is None, self._settings.close_timeout_s)
            if (reader := self._watch.reader) is not None:
                self._watch.abandon(reader, self._clock())
        if self._thread is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))
        return self.state()

    def check(self) -> float:
        """Start or abandon a reader and report events, whatever is due; returns seconds until the next time."""
        with self._lock:
            now_s = self._clock()
            due_s = math.inf if self._is_over() else self._watch.look(now_s)
        self._report()
        return min(max(0.0, due_s - self._clock()), _LONGEST_WAIT_S)

    # Calls of the reader; see runtime.cameras.supervision.reader.ReaderOwner.

    def opened(self, reader: Reader, size: tuple[int, int], rate_hz: float) -> Lease | None:
        """Take note that the camera is open."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                return None
            if size != self._wanted:
                wrong = "frames are {}x{} px, and {}x{} px are wanted".format(*size, *self._wanted)
                self._fail(reader, "resized", wrong)
                return None
            try:
                lease = self._intake.free_slot()
            except LeaseError as error:
                self._stop_for(error)
                return None
            if lease is None:
                self._fail(reader, "lost", "every slot of the ring is held by the consumer")
                return None
            self._intake.reopen(rate_hz, now_s)
            self._watch.opened(reader, rate_hz, now_s)
            self._wake()
            return lease

    def failed(
        self, reader: Reader, kind: FaultKind | None, what: str, info: FrameInfo | None = None
    ) -> None:
        """Take note that the camera gives no more frames."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                self._intake.given_up += info is not None
                return
            if info is not None:
                self._intake.count_bad(info, info.sequence, now_s)
            self._fail(reader, kind, what)

    def rejected(self, reader: Reader, what: str, info: FrameInfo | None, sequence: int | None) -> bool:
        """Count a damaged frame; returns whether to read on."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                self._intake.given_up += sequence is not None
                return False
            self._watch.came(reader, now_s, good=False)
            self._intake.count_bad(info, sequence, now_s)
            if self._intake.strike("corrupt", what, now_s):
                self._watch.close(reader, now_s)
                self._wake()
                return False
            self._wake_for_events()
            return True

    def deliver(self, reader: Reader, lease: Lease, info: FrameInfo) -> Lease | None:
        """Take a whole frame over; returns the slot for the next."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                self._intake.given_up += 1
                return None
            if trouble := self._intake.repetition(lease, info):
                return self._refuse(reader, lease, info, trouble)
            self._watch.came(reader, now_s, good=True)
            try:
                following = self._intake.take_over(lease, info, now_s)
            except LeaseError as error:
                self._intake.given_up += 1
                self._stop_for(error)
                return None
            if following is None:
                self._watch.close(reader, now_s)
                self._wake()
                return None
            self._wake_for_events()
            return following

    def ended(self, reader: Reader) -> None:
        """Take note that the source came to its end."""
        with self._lock:
            if self._is_stale(reader):
                return
            if self._settings.end_is_fault:
                self._fail(reader, None, "the source came to its end")
            else:
                self._ended = True
                self._frames.notify_all()

    def finished(self, reader: Reader, lease: Lease | None) -> None:
        """Take note that a reader's thread is about to end."""
        with self._lock:
            if lease is not None:
                lease.release()
            self._watch.finished(reader, self._clock())
            self._wake()
            self._frames.notify_all()

    # All below is called with the lock held, except _run and _report.

    def _fail(self, reader: Reader, kind: FaultKind | None, what: str) -> None:
        self._watch.fail(reader, kind, what, self._clock())
        self._wake()

    def _refuse(self, reader: Reader, lease: Lease, info: FrameInfo, trouble: str) -> Lease | None:
        """Count a frame that repeats those before it; returns the slot for the next, unless the camera closes."""
        now_s = self._clock()
        self._watch.came(reader, now_s, good=False)
        if self._intake.count_repetition(info, now_s):
            self._fail(reader, "frozen", trouble)
            return None
        self._wake_for_events()
        return lease

    def _stop_for(self, mistake: LeaseError) -> None:
        """Stop: without the slot that was lost this would go wrong again and again; ``take`` raises it."""
        self._error = mistake
        self._wake()
        self._frames.notify_all()

    def _is_stale(self, reader: Reader) -> bool:
        return self._closing or self._error is not None or reader is not self._watch.reader

    def _is_over(self) -> bool:
        return self._closing or self._ended or self._error is not None

    def _status(self) -> Status:
        if self._closing:
            return "closed"
        return "ended" if self._ended else self._watch.status

    def _wake(self) -> None:
        self._is_awake = True
        self._attention.notify_all()

    def _wake_for_events(self) -> None:
        if self._log.has_events:
            self._wake()

    def _report(self) -> None:
        while True:
            with self._lock:
                event = self._log.next_event()
            if event is None:
                return
            if self._on_event is not None:
                self._on_event(event)

    def _run(self) -> None:
        while True:
            with self._lock:
                self._is_awake = False
            wait_s = self.check()
            with self._lock:
                if self._closing:
                    return
                if not self._is_awake:
                    self._attention.wait(wait_s)
