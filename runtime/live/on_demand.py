"""Live magnification: runs while it is wanted, in a thread of its own, and never delays measuring."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.frames.latest import Latest
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.frames.stage_times import FrameMeter
from tremorscope.runtime.health import MagnificationHealth
from tremorscope.runtime.live import feed as live_feed
from tremorscope.runtime.live import magnify_loop
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.magnify_loop import EnginePool, MagnifyLoop
from tremorscope.runtime.live.picture import LiveInfo
from tremorscope.runtime.magnification.factory import EngineFactory, memory_as_fault
from tremorscope.runtime.magnification.load import LoadLevel
from tremorscope.runtime.magnification.magnifier import FadingMagnifier
from tremorscope.runtime.magnification.settings import MagnificationSettings

log = logging.getLogger("tremorscope.magnification")

_TAKE_S = 0.25
_RETRY_S = (5.0, 60.0)
"""First and longest pause after an engine has failed; each is twice the one before."""
FRAMES_HELD = 1 + magnify_loop.HELD + live_feed.HELD
"""Frames of the camera that are held here at most: one that waits, those of the loop, and those that are shown."""
PICTURES_HELD = 1 + live_feed.HELD
"""Magnified pictures at most: one that is being written, and those that are shown."""
_HOLDER = "magnifying"


class Magnifying:
    """Selects the frames to magnify as they come from the camera, and magnifies them in ``work``."""

    def __init__(
        self,
        settings: MagnificationSettings,
        source: EngineFactory,
        pictures: LeasingRing,
        feed: LiveFeed,
        *,
        rate_hz: float,
        to_unix_s: Callable[[float], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; engines are opened by ``work``.

        Args:
            settings: what is magnified, and when.
            source: opens the engines, in the thread of `work`.
            pictures: takes magnified pictures, in `PICTURES_HELD` slots.
            feed: shows them, and counts the viewers.
            rate_hz: frames a second as the camera states them.
            to_unix_s: from the camera's time to Unix time.
            clock: seconds on a clock that never goes back.
        """
        if pictures.slots < PICTURES_HELD:
            raise ValueError(f"{pictures.slots} slots are too few for magnified pictures: see PICTURES_HELD")
        self.settings = settings
        """Present settings, or those that take effect next; `configure` alone replaces them."""
        self._applied = settings
        self._source, self._engines = source, EnginePool(source)
        self._feed, self._rate_hz, self._clock = feed, rate_hz, clock
        self._to_unix_s = to_unix_s
        self.frames: Latest[Lease] = Latest()
        """The frame to be magnified next."""
        self._loop = MagnifyLoop(self.frames, pictures, self._show, clock=clock)
        self._fading: FadingMagnifier | None = None
        self._level = LoadLevel()
        self._applied_level: LoadLevel | None = None
        self._rate_fraction = self._rate_fraction_asked = 1.0
        self._credit = 0.0
        self._was_wanted = False
        self._trouble = ""
        self._retry_s, self._pause_s = 0.0, _RETRY_S[0]

    @property
    def meter(self) -> FrameMeter:
        """Rate and stage times of the frames that are magnified or shown; may be read from any thread."""
        return self._loop.meter

    @property
    def reasons(self) -> tuple[str, ...]:
        """Reasons to magnify now; empty while there are none."""
        when = self.settings.when
        viewer = ("viewer",) if self._feed.wanted and when != "never" else ()
        return ("always", *viewer) if when == "always" else viewer

    # For the camera.

    def consider(self, frame: Lease) -> None:
        """Take a share of a frame if it is to be magnified or shown; never waits."""
        reasons = self.reasons
        wanted = bool(reasons) or self._feed.wanted
        if wanted and self._rate_fraction < 1 and self._was_wanted:
            self._credit += self._rate_fraction
            if self._credit < 1:
                return
            self._credit -= 1
        if wanted or self._was_wanted:  # one frame more, so that the loop releases its reference
            self._loop.magnifies = bool(reasons) and self._level.magnify
            self.frames.put(frame.share(_HOLDER))
        self._was_wanted = wanted

    # For any thread.

    def configure(self, settings: MagnificationSettings) -> None:
        """Change the settings; the picture fades to them within a second.

        Raises:
            OptionFault: the settings do not fit the measured rate; the present ones stay.
            BundleFault: the bundle has no graph for it.
        """
        self._source.check(settings.wanted(), self.rate_hz)
        self.settings = settings

    def hold_back(self, level: LoadLevel, camera_rate_hz: float | None = None) -> None:
        """Set the load level; ``camera_rate_hz`` is the measured rate of the camera, where it is known."""
        self._rate_hz = camera_rate_hz or self._rate_hz
        self._level = level

    @property
    def rate_hz(self) -> float:
        """Magnified frames a second: measured, or as stated while that is not known."""
        measured = self.meter.rate if self._was_wanted else None
        return measured.rate_hz if measured else self._rate_hz * self._rate_fraction

    def health(self) -> MagnificationHealth:
        """Status of the magnification."""
        settings, fading = self.settings, self._fading
        reasons = self.reasons
        why_not = self._trouble or ("" if self._level.magnify else "the device is too hot")
        if reasons and not why_not and fading is None:
            why_not = "the engine is being loaded"
        return MagnificationHealth(
            active=bool(reasons) and not why_not,
            reasons=reasons,
            why_not=why_not if reasons or self._trouble else "",
            engine=self._source.name,
            precision="int8" if self._engines.is_int8 else self._source.precision,
            mode=settings.mode,
            bands_hz=settings.bands_hz if settings.mode == "band" else (),
            amplification=settings.amplification,
            settling_left_s=fading.settling_left_s if fading and reasons else 0.0,
            frames=self._loop.magnified,
            skipped=self.frames.pushed_out + self._loop.no_slot,
        )

    # In its own thread.

    def work(self, is_stopping: Callable[[], bool]) -> None:
        """Magnify frames until the end; a failed engine is retried, frames are shown as filmed until then."""
        if self.settings.when != "never":
            self._attempt(self._open)  # before the first viewer comes, who would have to wait for it
        while not is_stopping():
            self._attempt(lambda: self.advance(_TAKE_S))

    def advance(self, timeout_s: float) -> FrameInfo | None:
        """Apply changes, and magnify and show one frame; returns its data, or None if none came in time.

        Raises:
            Fault: the engine cannot be opened, or has failed.
            MemoryError: there is no room for it.
        """
        self._apply_changes()
        info = self._loop.advance(timeout_s)
        if info is None and not self._was_wanted:
            self._engines.rest()
        return info

    def close(self) -> None:
        """Release all frames and engines, once no thread calls it any more."""
        self.frames.clear()
        self._loop.close()
        self._engines.close()

    def _attempt(self, work: Callable[[], object]) -> None:
        try:
            with memory_as_fault():
                work()
        except Fault as fault:
            self._fail(fault)

    def _apply_changes(self) -> None:
        if self._level.rate_fraction != self._rate_fraction_asked:
            self._take_fewer(self._level)
        if self._fading is None:
            wants = bool(self.reasons) and self._level.magnify
            if wants and self._clock() >= self._retry_s:
                self._open()
            return
        if not self._fading.is_changing:
            self._engines.close_retired()
        before, level = self._applied, self._level
        if self.settings is before and level is self._applied_level:  # as at almost every frame
            return
        self._applied, self._applied_level = self.settings, level
        self._fading.amplification = self._applied.amplification
        same = {"amplification", "when"}
        # Both are compared: a changed region changes what a lighter load computes.
        has_other_engines = self._engines.follow(self._applied.wanted(), level)
        if has_other_engines or before.model_dump(exclude=same) != self._applied.model_dump(exclude=same):
            engines = self._engines.present
            assert engines is not None
            engines.prepare(self._applied.wanted())
            self._fading.change(lambda: engines.make(self._applied.wanted(), self.rate_hz))

    def _take_fewer(self, level: LoadLevel) -> None:
        """Magnify the level's share of the camera's frames, with a filter for that rate from the same step.

        Where the band does not fit that rate, the share stays as it is, and a warning is logged.
        """
        before, fraction = self._rate_fraction, level.rate_fraction
        self._rate_fraction_asked = fraction
        # An engine that is slower than the camera stays as slow with fewer frames.
        grows = max(1.0, fraction / before)
        rate_hz = min(self._rate_hz * fraction, self.rate_hz * grows)
        try:
            if self._fading is not None:
                self._fading.expect_rate(rate_hz)
        except Fault as fault:
            log.warning("%s: the rate stays as it is: %s", level, fault)
            return
        self._rate_fraction = fraction

    def _open(self) -> None:
        self._applied, self._applied_level = self.settings, None
        wanted = self._applied.wanted()
        self._fading = FadingMagnifier(self._engines.open(wanted).make(wanted, self.rate_hz))
        self._loop.use(self._fading)
        if self._trouble:
            log.info("magnification works again")
        self._trouble, self._pause_s = "", _RETRY_S[0]

    def _fail(self, fault: Fault) -> None:
        if str(fault) != self._trouble:
            log.error("%s", fault, extra={"fields": {"remedy": fault.remedy}})
        self._trouble = str(fault)
        self._loop.use(None)
        self._fading = None
        self._engines.close()
        self._retry_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _RETRY_S[1])

    def _show(self, frame: Lease, magnified: Lease | None) -> None:
        info, fading = frame.info, self._fading if magnified is not None else None
        assert info is not None
        told = (fading.present_amplification, fading.settling_left_s) if fading is not None else ()
        self._feed.offer(frame, magnified, LiveInfo(info.sequence, self._to_unix_s(info.timestamp_s), *told))
