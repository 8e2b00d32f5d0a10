"""Magnifying half of the live loop: takes the newest frame, magnifies it, and shows both; with the engines for it,
opened once for each load level.

One thread calls ``advance`` again and again, which waits for the next frame alone, for a stated time.
Faults of the camera do not reach the loop: the supervisor recovers, and the loop sees a gap and a new segment.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Protocol

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.frames.stage_times import FrameMeter
from tremorscope.runtime.magnification.factory import EngineFactory, Engines
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.magnifier import FrameMagnifier
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.regions import Region

HELD = 2
"""Frames that the loop holds at most: that in the engine and the one before, which may be its reference."""
_LOOP = "the magnifying loop"


class FrameSource(Protocol):
    """Source of frames: `runtime.frames.latest.Latest`."""

    def take(self, timeout_s: float) -> Lease | None:
        """The oldest frame that waits, or None after ``timeout_s`` without one; to be released after use."""


class MagnifyLoop:
    """Takes frames from a source, magnifies them into leased pictures, and shows both; times every stage."""

    def __init__(
        self,
        source: FrameSource,
        pictures: LeasingRing,
        show: Callable[[Lease, Lease | None], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Put the loop together; all memory that it needs is in the rings of frames and pictures.

        Args:
            source: gives frames, of which `HELD` are held at a time.
            pictures: takes the magnified pictures: one, and as many as ``show`` keeps.
            show: called with the frame and its magnified picture, or None where it was not magnified; may share both,
                must not wait.
            clock: the clock of ``FrameInfo.captured_s`` and ``arrived_s``.
        """
        self._source, self._pictures, self._show, self._clock = source, pictures, show, clock
        self._magnifier: FrameMagnifier | None = None
        self._next_magnifier: FrameMagnifier | None = None
        self._segment: int | None = None
        self._reference: Lease | None = None
        self._rested = False
        self.magnifies = True
        """Set to False to show frames as filmed, e.g. when the device is too hot; then to True to start anew."""
        self.meter = FrameMeter(clock)
        """Rate and stage times of the frames that are shown."""
        self.magnified = 0
        """Frames that were magnified."""
        self.no_slot = 0
        """Frames that were not magnified because every slot for pictures was held."""

    def advance(self, timeout_s: float) -> FrameInfo | None:
        """Magnify and show one frame; returns its data, or None if none came in time.

        Raises:
            EngineFault: the engine failed; the loop can be continued, with a magnifier that starts anew.
            OptionFault: the band lies above half of the rate that the camera has come down to.
            LeaseError: a mistake in the program: a frame was not released.
        """
        frame = self._source.take(timeout_s)
        if frame is None:
            return None
        with frame:
            info = frame.info
            assert info is not None
            self.meter.took(info)
            if info.segment != self._segment:
                self._segment = info.segment
                self._forget()
            magnified = self._magnify(frame)
            begun_s = self._clock()
            self._show(frame, magnified)
            if magnified is not None:
                magnified.release()
            self.meter.finished(info, self.meter.passed("output", begun_s))
        return info

    def use(self, magnifier: FrameMagnifier | None) -> None:
        """Change the magnifier from the next frame on, None to show frames as filmed; any thread may call it."""
        self._next_magnifier = magnifier

    def close(self) -> None:
        """Release all frames; source and rings are the caller's."""
        self._forget()

    def _magnify(self, frame: Lease) -> Lease | None:
        """The magnified picture, written and sealed, or None where there is none; to be released after use."""
        if self._next_magnifier is not self._magnifier:
            self._forget()
            self._magnifier = self._next_magnifier
        magnifier, info = self._magnifier, frame.info
        assert info is not None
        if magnifier is None or not self.magnifies:
            if not self._rested:  # the reference grows old meanwhile
                self._forget()
            self._rested = True
            return None
        self._rested = False
        picture = self._pictures.acquire(_LOOP)
        if picture is None:
            self.no_slot += 1
            return None
        begun_s, finished = self._clock(), False
        try:
            magnifier.step(frame.pixels, picture.pixels, info.timestamp_s)
            finished = True
        finally:
            if not finished:
                picture.release()
                self._forget()
        self.meter.passed("step", begun_s)
        self.magnified += 1
        picture.seal(info)
        # The step before is over: its reference can be released, and this frame takes its place.
        before, self._reference = self._reference, frame.share(_LOOP)
        if before is not None:
            before.release()
        return picture

    def _forget(self) -> None:
        """Restart the magnifier and release its reference."""
        if self._magnifier is not None:
            self._magnifier.restart()
        if self._reference is not None:
            self._reference.release()
            self._reference = None


log = logging.getLogger("tremorscope.magnification")

_Load = tuple[str, float, tuple[Region, ...]]
"""Precision, share of the region, and the regions where that share is below 1."""
_FULL_LOAD: _Load = ("configured", 1.0, ())


class EnginePool:
    """Engines of the live magnification by load level, opened once each; used by one thread.

    Engines for a lighter load are kept, for heat comes and goes every day, but not those for regions that are no longer
    magnified.
    """

    def __init__(self, factory: EngineFactory) -> None:
        self._factory = factory
        self._by_load: dict[_Load, Engines] = {}
        self._retired: list[Engines] = []
        self._load = _FULL_LOAD
        self.present: Engines | None = None
        """Engines for the present load; None before `open` and after `close`."""

    @property
    def is_int8(self) -> bool:
        """True while engines in INT8 stand in for the configured ones."""
        return self._load[0] == "int8" and self._load in self._by_load

    def open(self, wanted: Magnification) -> Engines:
        """Return the present engines, or open those for the full load.

        Raises:
            Fault: they cannot be opened.
        """
        if self.present is None:
            self.present = self._factory.open(wanted)
            self._load = _FULL_LOAD
            self._by_load[_FULL_LOAD] = self.present
        return self.present

    def follow(self, wanted: Magnification, level: LoadLevel) -> bool:
        """Take the engines for a load level; returns True if they are other ones than before.

        Engines that cannot be opened are logged once, and the present ones stay in use.
        """
        load = (level.precision, level.region_fraction, wanted.regions if level.region_fraction < 1 else ())
        if load == self._load:
            return False
        self._load = load
        engines = self._by_load.get(load)
        try:
            engines = engines or self._factory.open(wanted, level)
            engines.prepare(wanted)
        except Fault as fault:
            log.warning("%s cannot be had, magnification stays as it is: %s", level, fault)
            if engines is not None and load not in self._by_load:
                engines.close()
            return False
        for other in [other for other in self._by_load if other[2] and load[2] and other[2] != load[2]]:
            self._retired.append(self._by_load.pop(other))
        self._by_load[load] = self.present = engines
        return True

    def rest(self) -> None:
        """Let all engines give back memory that they can have again at once."""
        for engines in self._by_load.values():
            engines.rest()

    def close_retired(self) -> None:
        """Close engines that are not wanted any more, once the latest magnifier on them has faded out."""
        while self._retired:
            self._retired.pop().close()

    def close(self) -> None:
        """Close all engines; the pool can be opened again."""
        self.present = None
        self._retired += self._by_load.values()
        self._by_load.clear()
        self.close_retired()
