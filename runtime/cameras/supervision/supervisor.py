"""Keeps a camera that may fail running: watches it, opens it again, and never lets anybody wait for it.

The rules and their numbers are in docs/cameras.md.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial

from tremorscope.runtime.cameras.supervision.faults import CameraEvent, FaultKind, FaultLog
from tremorscope.runtime.cameras.supervision.frozen import StandingPicture
from tremorscope.runtime.cameras.supervision.intake import Intake
from tremorscope.runtime.cameras.supervision.reader import Reader
from tremorscope.runtime.cameras.supervision.settings import Status, SupervisorSettings, SupervisorState
from tremorscope.runtime.cameras.supervision.watching import Watch
from tremorscope.runtime.errors import CameraFault
from tremorscope.runtime.frames.info import Camera, FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeaseError, LeasingRing

Clock = Callable[[], float]
_CONSUMER = "the consumer of the camera"
_LONGEST_WAIT_S = 60.0


class CameraSupervisor:
    """Owns a camera and delivers its frames, newest first where the consumer is slow, through whatever befalls it.

    One thread reads, another watches it; both hold the lock only to move a frame or a number. The reading
    thread never waits for the consumer, and nobody waits for the camera longer than asked.
    """

    def __init__(
        self,
        open_camera: Callable[[], Camera],
        ring: LeasingRing,
        *,
        settings: SupervisorSettings | None = None,
        on_event: Callable[[CameraEvent], None] | None = None,
        clock: Clock = time.monotonic,
        make_reader: Callable[..., Reader] = Reader,
    ) -> None:
        """Prepare; ``start`` opens the camera.

        Args:
            open_camera: opens the camera, and raises a Fault where it cannot.
            ring: where frames go; of the size that is wanted, with ``SupervisorSettings.slots`` slots.
            settings: None takes the defaults.
            on_event: told both edges of every fault by the watching thread; it must return at once.
            clock: seconds on a clock that never goes back.
            make_reader: makes what reads the camera in a thread of its own; a test's has none.
        """
        settings = settings or SupervisorSettings()
        if ring.slots < settings.slots(held_by_consumer=1):
            raise ValueError(f"{ring.slots} slots are too few for a camera: see SupervisorSettings.slots")
        self._close_timeout_s = settings.close_timeout_s
        self._wanted = ring.width_px, ring.height_px
        self._on_event, self._clock = on_event, clock
        lock = threading.RLock()
        self._frames = threading.Condition(lock)
        self._attention = threading.Condition(lock)
        self._lock = lock
        self._log = FaultLog()
        self._intake = Intake(ring, settings, self._log)
        self._mailbox = self._intake.mailbox
        make = partial(make_reader, open_camera, self, reject_constant=settings.reject_constant)
        self._watch = Watch(make, settings, self._log)
        self._end_is_fault = settings.end_is_fault
        self._standing = StandingPicture(settings.still_s, reopens=settings.end_is_fault)
        self._thread: threading.Thread | None = None
        self._mistake: LeaseError | None = None
        self._ended = self._closing = self._woken = False

    def start(self) -> None:
        """Begin to watch and to open the camera; returns at once, whether there is a camera or not."""
        self._thread = threading.Thread(target=self._run, name="camera watch", daemon=True)
        self._thread.start()

    def take(self, timeout_s: float) -> Lease | None:
        """The oldest frame that waits, or None after ``timeout_s`` without one; release it after use.

        ``Lease.info`` has its number and time on axes that go on through all faults: numbers skip what was dropped,
        and ``segment`` rises where time or picture do not continue.

        Raises:
            LeaseError: the consumer lost a frame without releasing it.
            CameraFault: a mistake in the program has ended the watching thread.
        """
        with self._lock:
            if not self._mailbox and timeout_s > 0:
                self._frames.wait_for(lambda: self._mailbox or self._is_over(), timeout_s)
            if self._mistake is not None:
                raise self._mistake
            lease = self._mailbox.take(_CONSUMER)
            if lease is not None:
                return lease
            if self._thread is not None and not self._thread.is_alive() and not self._closing:
                raise CameraFault("nobody watches the camera any more", remedy="restart the service")
            return None

    def reopen(self) -> None:
        """If the camera waits for its next attempt, make it now, and let the pauses begin anew; returns at once."""
        with self._lock:
            self._watch.hurry()
            self._wake()

    def state(self) -> SupervisorState:
        """How the camera stands."""
        with self._lock:
            return SupervisorState(
                status=self._status(),
                active=self._log.active,
                taken=self._mailbox.taken,
                waiting=len(self._mailbox),
                drops=self._intake.drops,
                openings=self._watch.openings,
                opened_in_vain=self._watch.opened_in_vain,
                segments=self._intake.segments,
                abandoned_threads=len(self._watch.abandoned),
                events_lost=self._log.events_lost,
            )

    def close(self) -> SupervisorState:
        """Close the camera, for at most ``close_timeout_s``; a thread that hangs on is counted in the answer."""
        until_s = time.monotonic() + self._close_timeout_s
        with self._lock:
            self._closing = True
            self._intake.given_up += self._mailbox.clear()
            self._wake()
            self._frames.notify_all()
            self._frames.wait_for(lambda: self._watch.reader is None, self._close_timeout_s)
            reader = self._watch.reader
            if reader is not None:
                self._watch.abandon(reader, self._clock())
        if self._thread is not None:
            self._thread.join(max(0.0, until_s - time.monotonic()))
        return self.state()

    def check(self) -> float:
        """Do what is due: start, abandon, tell; returns the seconds until something may be due again.

        The watching thread does nothing else. Tests call it with a clock of their own.
        """
        with self._lock:
            now_s = self._clock()
            due_s = math.inf if self._is_over() else self._watch.look(now_s)
        self._tell()
        return min(max(0.0, due_s - self._clock()), _LONGEST_WAIT_S)

    # What the reader reports; see runtime.cameras.supervision.reader.Desk.

    def opened(self, reader: Reader, size: tuple[int, int], rate_hz: float) -> Lease | None:
        """Take note that the camera is open."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                return None
            if size != self._wanted:
                wrong = f"frames are {_by(size)} px, and {_by(self._wanted)} px are wanted"
                self._fail(reader, "resized", wrong)
                return None
            try:
                lease = self._mailbox.free_slot()
            except LeaseError as error:
                self._stop_for(error)
                return None
            if lease is None:
                self._fail(reader, "lost", "every slot of the ring is held by the consumer")
                return None
            self._intake.reopen(rate_hz)
            self._standing.reopened(rate_hz, now_s)
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
            self._wake_to_tell()
            return True

    def deliver(self, reader: Reader, lease: Lease, info: FrameInfo) -> Lease | None:
        """Take a whole frame over; returns the slot for the next."""
        with self._lock:
            now_s = self._clock()
            if self._is_stale(reader):
                self._intake.given_up += 1
                return None
            if self._standing.look(lease.pixels, info.sequence):
                return self._refuse_standing(reader, lease, info, now_s)
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
            self._wake_to_tell()
            self._frames.notify()
            return following

    def ended(self, reader: Reader) -> None:
        """Take note that the source came to its end."""
        with self._lock:
            if self._is_stale(reader):
                return
            if self._end_is_fault:
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

    # All below is called with the lock held, except _run and _tell.

    def _fail(self, reader: Reader, kind: FaultKind | None, what: str) -> None:
        self._watch.fail(reader, kind, what, self._clock())
        self._wake()

    def _refuse_standing(self, reader: Reader, lease: Lease, info: FrameInfo, now_s: float) -> Lease | None:
        """Count a frame that only repeats those before; returns the slot for the next, unless the camera closes."""
        self._watch.came(reader, now_s, good=False)
        self._intake.count_bad(info, info.sequence, now_s)
        if self._standing.wants_reopening(now_s):
            self._fail(reader, "frozen", self._standing.trouble)
            return None
        if "frozen" not in self._log.active:
            self._log.seen("frozen", now_s, self._standing.trouble)
            self._wake()
        return lease

    def _stop_for(self, mistake: LeaseError) -> None:
        """Stop: without the slot that was lost this would go wrong again and again; ``take`` raises it."""
        self._mistake = mistake
        self._wake()
        self._frames.notify_all()

    def _is_stale(self, reader: Reader) -> bool:
        return self._closing or self._mistake is not None or reader is not self._watch.reader

    def _is_over(self) -> bool:
        return self._closing or self._ended or self._mistake is not None

    def _status(self) -> Status:
        if self._closing:
            return "closed"
        if self._ended:
            return "ended"
        reader = self._watch.reader
        if reader is not None:
            return (
                "running"
                if reader.stage == "reading"
                else "opening"
                if reader.stage == "opening"
                else "closing"
            )
        return "stuck" if "stuck" in self._log.active else "waiting"

    def _wake(self) -> None:
        self._woken = True
        self._attention.notify_all()

    def _wake_to_tell(self) -> None:
        if self._log.has_untold:
            self._wake()

    def _tell(self) -> None:
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
                self._woken = False
            wait_s = self.check()
            with self._lock:
                if self._closing:
                    return
                if not self._woken:
                    self._attention.wait(wait_s)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
