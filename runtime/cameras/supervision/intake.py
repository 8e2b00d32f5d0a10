"""Intake of a camera's frames: each is placed in time, checked, and handed on or counted as lost. A stuck picture is
told from a still scene: no sensor gives the same noise twice, a stuck encoder does.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.supervision.faults import BadFrameCounter, FaultLog
from tremorscope.runtime.cameras.supervision.settings import Drops, SupervisorSettings
from tremorscope.runtime.cameras.supervision.timeline import FrameTimeline
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.latest import Latest
from tremorscope.runtime.frames.ring import Lease, LeasingRing

_ROWS, _COLUMNS = 32, 48
_DARKEST, _BRIGHTEST = 4, 251
"""Range of values in which noise can be seen; outside a value may be clipped."""
_FEWEST = 64
_FIRST = 100
_MOVED_SHARE = 0.002
"""Least share of changed values, of those that could show noise, in a new picture: a clock written into a stuck
picture changes fewer, the noise of a still scene (0.3 grey levels and more) ten times as many."""
_FEWEST_FRAMES = 15
_WEIGHT = 10
"""Equal pictures that make up for a different one: key frames of a stuck encoder differ a little."""
_OTHERS = 3
"""Different pictures in a row that end a stuck picture."""
_LOOKS = 50
"""Frames that are examined within the longest time of the same picture, while the picture changes."""


class StuckPictureDetector:
    """Detector of a stuck picture over all openings of one camera; examines a few thousand bytes of a frame.

    While the picture changes, it looks at some frames a second: those bytes lie far apart, and fetching them takes as
    long as all else that the supervisor does for a frame. Once a picture has come again, it looks at every frame.
    """

    def __init__(self, still_s: float | None, *, reopens: bool) -> None:
        """Begin.

        Args:
            still_s: longest time of the same picture; None: for ever.
            reopens: whether opening the camera again may help; a recorded clip would only begin anew.
        """
        self._still_s, self._reopens = still_s, reopens
        self._most = math.inf
        self._every = 1
        self._alike = self._sequence = self._unseen = 0
        self._before: NDArray[np.uint8] | None = None
        self._shape: tuple[int, ...] = ()
        self._places = np.zeros(0, np.intp)
        self._stands, self._reopen_at_s = False, -math.inf

    @property
    def trouble(self) -> str:
        """Reason why its frames are refused, in one line."""
        return (
            f"the picture has been the same for {self._still_s:g} s, noise and all: a sensor or an encoder is stuck "
            "(for a source without noise: camera.may_stand_still)"
        )

    def reopened(self, rate_hz: float, now_s: float) -> None:
        """Expect so many frames a second; a stuck picture must change first."""
        if self._still_s is not None:
            self._most = max(_FEWEST_FRAMES, math.ceil(self._still_s * rate_hz))
            self._every = max(1, int(self._most) // _LOOKS)
            self._alike = min(self._alike, int(self._most))
            self._reopen_at_s = now_s + self._still_s if self._stands else -math.inf

    def look(self, pixels: NDArray[np.uint8], sequence: int | None = None) -> bool:
        """Take the next frame, u8[H, W, 3], and its number; returns whether the picture stands still.

        Frames that were lost in between count as the ones beside them, but no fewer than fifteen must have come.
        """
        if self._still_s is None:
            return False
        self._unseen += 1
        passed = self._unseen if sequence is None else max(self._unseen, sequence - self._sequence)
        if not self._alike and passed < self._every and self._before is not None:
            return False
        self._unseen = 0
        sample = self._sample(pixels)
        if self._before is None or _differ(self._before, sample):
            self._alike = max(0, self._alike - _WEIGHT)
        else:
            self._alike = min(self._alike + min(passed, int(self._most) // _FEWEST_FRAMES), int(self._most))
        self._sequence = sequence or 0
        self._before = sample
        least = max(0, self._most - _OTHERS * _WEIGHT) if self._stands else self._most - 1
        self._stands = self._alike > least
        return self._stands

    def _sample(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Pixels at even places, u8[N, C]; by their numbers, for a copy of slices takes several times as long."""
        if pixels.shape != self._shape:
            height, width = pixels.shape[:2]
            rows, columns = range(0, height, -(-height // _ROWS)), range(0, width, -(-width // _COLUMNS))
            self._places = np.add.outer(np.multiply(rows, width), columns).ravel()
            self._shape = pixels.shape
        return pixels.reshape(-1, pixels.shape[2]).take(self._places, axis=0)

    def wants_reopening(self, now_s: float) -> bool:
        """True where the camera is to be opened again: once at the beginning, and after each vain attempt."""
        return self._reopens and now_s >= self._reopen_at_s


def _differ(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    if before.shape != now.shape:
        return True
    for part in (slice(_FIRST), slice(None)):  # the first few decide nearly always
        shows_noise = (now[part] > _DARKEST) & (now[part] < _BRIGHTEST)
        changed = now[part] != before[part]
        moved = int(np.count_nonzero(changed & shows_noise))
        if moved > _MOVED_SHARE * now.size:
            return True
    count = int(np.count_nonzero(shows_noise))
    return bool(changed.any()) if count < _FEWEST else moved > _MOVED_SHARE * count


_CAMERA = "the camera"
_LATE_PERIODS = 1.5
"""Periods by which a frame fetched late is older than the youngest were: exposure and jitter explain less."""


class LateFetchDetector:
    """Detector of frames that this device fetched too late, as against those that the camera or its link lost.

    A source that is read too slowly fills its buffers and then loses frames: those in the buffers are old when they
    are fetched. Needs the time of capture on the host's clock; without it no frame counts as late.
    """

    def __init__(self) -> None:
        self._least_s = math.inf
        self._age_s = 0.0

    def was_late(self, info: FrameInfo, now_s: float, period_s: float) -> bool:
        """Take a frame that has arrived; returns whether it, or the one before, was fetched too late."""
        if info.captured_s is None:
            return False
        before_s, self._age_s = self._age_s, now_s - info.captured_s
        self._least_s = min(self._least_s, self._age_s)
        return max(before_s, self._age_s) - self._least_s > _LATE_PERIODS * period_s


class Intake:
    """Places, checks and counts frames. Not thread-safe: the caller holds a lock."""

    def __init__(
        self,
        ring: LeasingRing,
        settings: SupervisorSettings,
        log: FaultLog,
        on_frame: Callable[[Lease], None] = lambda _: None,
        changed: threading.Condition | None = None,
    ) -> None:
        """Take note where frames go.

        Args:
            ring: gives the slots that frames are written into.
            settings: limits on what is bad.
            log: takes the faults.
            on_frame: called with every frame that is handed on; may share it, and must not wait.
            changed: notified of every frame for the consumer.
        """
        self._ring, self._log, self._on_frame = ring, log, on_frame
        self._continuity = FrameTimeline(jump_s=settings.jump_s)
        self._strikes = BadFrameCounter(
            most=settings.most_strikes, clear_after_frames=settings.clear_after_frames
        )
        self.waiting: Latest[Lease] = Latest(settings.most_waiting, changed)
        """Frames for the consumer."""
        self._no_slot = 0
        self.given_up = 0
        """Frames that came from a thread which had been abandoned, or while closing."""
        self._punctuality = LateFetchDetector()
        self._standing = StuckPictureDetector(settings.still_s, reopens=settings.end_is_fault)
        self._source = self._corrupt = self._unfetched = 0

    @property
    def segments(self) -> int:
        """Number of segments so far, each a new beginning of time or picture; 0 before the first frame."""
        return self._continuity.segment + 1

    @property
    def drops(self) -> Drops:
        """Frames that never reached the consumer, by reason."""
        late = self.waiting.pushed_out
        return Drops(self._source, late, self._no_slot, self._corrupt, self.given_up, self._unfetched)

    def reopen(self, nominal_rate_hz: float, now_s: float) -> None:
        """Expect a new segment, of a source that states this rate."""
        self._continuity.reopen(nominal_rate_hz)
        self._standing.reopened(nominal_rate_hz, now_s)
        self._punctuality = LateFetchDetector()
        self._strikes.reset()

    def count_bad(self, info: FrameInfo | None, sequence: int | None, now_s: float) -> None:
        """Count a frame that cannot be used, if its time or number is known."""
        if info is not None and math.isfinite(info.timestamp_s):
            self._source += self._continuity.place(info, now_s).dropped
        elif sequence is not None and (dropped := self._continuity.skip(sequence)) is not None:
            self._source += dropped
        else:
            return  # it counts as dropped when the next one comes
        self._corrupt += 1

    def repetition(self, lease: Lease, info: FrameInfo) -> str:
        """Fault of a frame whose picture has been the same for too long; empty where it has not."""
        return self._standing.trouble if self._standing.look(lease.pixels, info.sequence) else ""

    def count_repetition(self, info: FrameInfo, now_s: float) -> bool:
        """Count a frame that repeats those before it; returns whether the camera is to be opened again."""
        self.count_bad(info, info.sequence, now_s)
        if self._standing.wants_reopening(now_s):
            return True
        if "frozen" not in self._log.active:
            self._log.seen("frozen", now_s, self._standing.trouble)
        return False

    def strike(self, kind: Literal["corrupt", "time"], what: str, now_s: float) -> bool:
        """Count a bad frame; returns True where there are too many."""
        self._log.seen(kind, now_s, what)
        return self._strikes.bad()

    def take_over(self, lease: Lease, info: FrameInfo, now_s: float) -> Lease | None:
        """Hand a whole frame on; returns the slot for the next, or None where time has jumped once too often.

        Raises:
            LeaseError: the consumer never released a frame; ``lease`` remains the caller's.
        """
        placed = self._continuity.place(info, now_s)
        if self._punctuality.was_late(info, now_s, self._continuity.period_s):
            self._unfetched += placed.dropped
        else:
            self._source += placed.dropped
        if placed.trouble:
            if self.strike("time", placed.trouble, now_s):
                self._corrupt += 1
                return None
        elif self._strikes.good():
            self._log.all_passed(("corrupt", "time"), now_s)
        self._log.all_passed(("missing", "lost", "refused", "frozen", "resized"), now_s)
        return self._hand_on(lease, placed.info)

    def free_slot(self) -> Lease | None:
        """A slot to write into, at the cost of the oldest frames that wait if need be; None if there is none.

        Raises:
            LeaseError: a frame was never released.
        """
        lease = self._ring.acquire(_CAMERA)
        while lease is None and self.waiting.push_out():
            lease = self._ring.acquire(_CAMERA)
        return lease

    def _hand_on(self, lease: Lease, info: FrameInfo) -> Lease:
        """Hand the frame in ``lease`` on; returns the slot for the next: the same, if this one was refused."""
        if self.waiting.is_full:
            self.waiting.push_out()
        following = self.free_slot()
        if following is None:
            self._no_slot += 1
            return lease
        lease.seal(info)
        try:
            self._on_frame(lease)  # before the consumer can have it, and release it
        except BaseException:
            self.given_up += 1
            following.release()
            raise
        self.waiting.put(lease)
        return following
