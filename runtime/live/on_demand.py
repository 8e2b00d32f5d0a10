"""The live magnification: runs while it is wanted, in a thread of its own, and never holds up what measures."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.errors import EngineFault, Fault
from tremorscope.runtime.frames.ring import Lease, LeasingRing
from tremorscope.runtime.health import MagnificationHealth
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.magnify_loop import LivePipeline
from tremorscope.runtime.live.outlets import frames_held, pictures_held
from tremorscope.runtime.live.passing import FrameBox, LiveOutlet
from tremorscope.runtime.magnification.engines import MakeMaker, Maker, check_magnification
from tremorscope.runtime.magnification.fading import FadingMagnifier
from tremorscope.runtime.magnification.load import Level
from tremorscope.runtime.magnification.settings import MagnificationSettings
from tremorscope.runtime.vibration.displacement.regions import Region

log = logging.getLogger("tremorscope.magnification")

_Load = tuple[str, float, tuple[Region, ...]]
"""Precision, share of the region, and the regions where that share is not all."""
_FULL_LOAD: _Load = ("configured", 1.0, ())
_RETRY_S = (5.0, 60.0)
"""First and longest pause after an engine has failed; each is twice the one before."""
FRAMES_HELD = frames_held(()) + 2
"""Frames that are held here at most: those of the loop, and one on the way to it while another comes."""


@dataclass(frozen=True)
class EngineDescription:
    """Which engine computes, for a person."""

    name: str = ""
    precision: str = ""


class Magnifying:
    """Decides for every frame whether it is magnified, and does so in ``work``."""

    def __init__(
        self,
        settings: MagnificationSettings,
        bundle: Bundle,
        make_maker: MakeMaker,
        pictures: LeasingRing,
        feed: LiveFeed,
        *,
        engine: EngineDescription,
        rate_hz: float,
        to_unix_s: Callable[[float], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; engines are opened by ``work``.

        Args:
            settings: what is magnified, and when.
            bundle: of the engines.
            make_maker: opens engines for the thread that calls it.
            pictures: takes magnified pictures.
            feed: shows them, and knows whether anybody watches.
            engine: what computes, for a person.
            rate_hz: frames a second as the camera states them.
            to_unix_s: from the camera's time to Unix time.
            clock: seconds on a clock that never goes back.
        """
        if pictures.slots < pictures_held(()):
            raise ValueError("no slot for magnified pictures")
        self.settings = settings
        """What is magnified at present, or as soon as can be; `configure` alone replaces it."""
        self._applied = settings
        self._bundle, self._make_maker, self._feed = bundle, make_maker, feed
        self._engine, self._rate_hz, self._clock = engine, rate_hz, clock
        self._box = FrameBox()
        self._pipeline = LivePipeline(
            self._box, None, pictures, (LiveOutlet(feed, self._describe, to_unix_s),), clock=clock
        )
        self._maker: Maker | None = None
        self._fading: FadingMagnifier | None = None
        self._level = Level()
        self._makers: dict[_Load, Maker] = {}
        self._retired: list[Maker] = []
        """Not wanted any more, though the latest may still be fading out."""
        self._load = _FULL_LOAD
        self._rate_fraction = self._rate_fraction_asked = 1.0
        self._credit = 0.0
        self._was_wanted = False
        self._trouble = ""
        self._retry_s, self._pause_s = 0.0, _RETRY_S[0]

    @property
    def latencies(self) -> LivePipeline:
        """The loop that magnifies, which times its stages."""
        return self._pipeline

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why frames are magnified now; nothing while nobody wants them."""
        when = self.settings.when
        wanted = {"always": when == "always", "viewer": when != "never" and self._feed.wanted}
        return tuple(reason for reason, holds in wanted.items() if holds)

    # For the loop that measures.

    def consider(self, frame: Lease) -> None:
        """Pass a frame on if it is to be magnified or shown; never waits."""
        wanted = bool(self.reasons) or self._feed.wanted
        if wanted and self._rate_fraction < 1 and self._was_wanted:
            self._credit += self._rate_fraction
            if self._credit < 1:
                return
            self._credit -= 1
        if wanted or self._was_wanted:  # one frame more, so that the loop lets go of what it compares with
            self._pipeline.magnifies = bool(self.reasons) and self._level.magnify
            self._box.put(frame)
        self._was_wanted = wanted

    # For those who change it; any thread.

    def configure(self, settings: MagnificationSettings) -> None:
        """Magnify differently from soon on, faded.

        Raises:
            OptionFault: it cannot be done at the measured rate; all goes on as before.
            BundleFault: the bundle has no graph for it.
        """
        check_magnification(settings.wanted(), self._bundle, self.rate_hz)
        self.settings = settings

    def hold_back(self, level: Level, camera_rate_hz: float | None = None) -> None:
        """Take load off the device; ``camera_rate_hz`` is what the camera gives, where that is known by now."""
        self._rate_hz = camera_rate_hz or self._rate_hz
        self._level = level

    @property
    def rate_hz(self) -> float:
        """Frames a second that are magnified: measured, or as stated while that is not known."""
        measured = self._pipeline.rate if self._was_wanted else None
        return measured.rate_hz if measured else self._rate_hz * self._rate_fraction

    def health(self) -> MagnificationHealth:
        """How it stands."""
        settings, fading, state = self.settings, self._fading, self._pipeline.state()
        reasons = self.reasons
        why_not = self._trouble or ("" if self._level.magnify else "the device is too hot")
        if reasons and not why_not and fading is None:
            why_not = "the engine is being loaded"
        return MagnificationHealth(
            active=bool(reasons) and not why_not,
            reasons=reasons,
            why_not=why_not if reasons or self._trouble else "",
            engine=self._engine.name,
            precision="int8"
            if self._load[0] == "int8" and self._load in self._makers
            else self._engine.precision,
            mode=settings.mode,
            bands_hz=settings.bands_hz if settings.mode == "band" else (),
            amplification=settings.amplification,
            settling_left_s=fading.settling_left_s if fading and reasons else 0.0,
            frames=state.magnified,
            skipped=self._box.skipped + state.no_slot,
        )

    # In its own thread.

    def work(self, is_stopping: Callable[[], bool]) -> None:
        """Magnify what is passed on, until the end; a failing engine is tried again, and frames are shown as filmed."""
        if self.settings.when != "never":
            self._open()
        while not is_stopping():
            self._advance()

    def close(self) -> None:
        """Let go of all frames, once neither thread runs any more."""
        self._box.clear()
        self._pipeline.close()
        self._give_engines_back()

    def _advance(self) -> None:
        try:
            self._apply_changes()
            self._pipeline.advance(0.25)
        except (Fault, MemoryError) as error:
            self._fail(_as_fault(error))

    def _apply_changes(self) -> None:
        if self._level.rate_fraction != self._rate_fraction_asked:
            self._take_fewer(self._level)
        if self._fading is None:
            wants = bool(self.reasons) and self._level.magnify
            if wants and self._clock() >= self._retry_s:
                self._open()
            return
        if self._retired and not self._fading.is_changing:
            _close(self._retired)
        before, self._applied = self._applied, self.settings
        self._fading.amplification = self._applied.amplification
        same = {"amplification", "when"}
        # Both are looked at: a changed region changes what a lighter load computes.
        lighter = self._lighten()
        if lighter or before.model_dump(exclude=same) != self._applied.model_dump(exclude=same):
            maker = self._maker
            assert maker is not None
            maker.prepare(self._applied.wanted())
            self._fading.change(lambda: maker.make(self._applied.wanted(), self.rate_hz))

    def _take_fewer(self, level: Level) -> None:
        """Magnify so many of the camera's frames as the level asks for, with a filter for that rate from the same step.

        Where the band cannot be seen at that rate, all frames are magnified as before, and that is told.
        """
        before, fraction = self._rate_fraction, level.rate_fraction
        self._rate_fraction_asked = fraction
        grows = max(
            1.0, fraction / before
        )  # an engine that is slower than the camera stays as slow with fewer frames
        rate_hz = min(self._rate_hz * fraction, self.rate_hz * grows)
        try:
            if self._fading is not None:
                self._fading.expect_rate(rate_hz)
        except Fault as fault:
            log.warning("%s: the rate stays as it is: %s", level, fault)
            return
        self._rate_fraction = fraction

    def _lighten(self) -> bool:
        """Take the engine that the level of heat asks for; returns whether it is another.

        One that cannot be had is told, and all stays as it is. Engines are kept, for heat comes and goes every day, but
        not those for regions that are not magnified any more.
        """
        wanted, level = self._applied.wanted(), self._level
        load = (level.precision, level.region_fraction, wanted.regions if level.region_fraction < 1 else ())
        if load == self._load:
            return False
        self._load = load
        maker = self._makers.get(load)
        try:
            maker = maker or self._make_maker(wanted, level)
            maker.prepare(wanted)
        except (Fault, MemoryError) as error:
            log.warning("%s cannot be had, magnification stays as it is: %s", level, _as_fault(error))
            if maker is not None and load not in self._makers:
                maker.close()
            return False
        for other in [other for other in self._makers if other[2] and load[2] and other[2] != load[2]]:
            self._retired.append(self._makers.pop(other))
        self._makers[load] = self._maker = maker
        return True

    def _open(self) -> None:
        self._applied = self.settings
        try:
            if self._maker is None:
                self._maker = self._make_maker(self._applied.wanted(), Level())
                self._load = _FULL_LOAD
                self._makers[_FULL_LOAD] = self._maker
            self._fading = FadingMagnifier(self._maker.make(self._applied.wanted(), self.rate_hz))
        except (Fault, MemoryError) as error:
            self._fail(_as_fault(error))
            return
        self._pipeline.use(self._fading)
        if self._trouble:
            log.info("magnification works again")
        self._trouble, self._pause_s = "", _RETRY_S[0]

    def _fail(self, fault: Fault) -> None:
        if str(fault) != self._trouble:
            log.error("%s", fault, extra={"fields": {"remedy": fault.remedy}})
        self._trouble = str(fault)
        self._pipeline.use(None)
        self._fading = None
        self._give_engines_back()
        self._retry_s = self._clock() + self._pause_s
        self._pause_s = min(2 * self._pause_s, _RETRY_S[1])

    def _give_engines_back(self) -> None:
        self._maker = None
        self._retired += self._makers.values()
        self._makers.clear()
        _close(self._retired)

    def _describe(self) -> tuple[float, float]:
        """Amplification of the latest step, and seconds until the filter has settled."""
        fading = self._fading
        return (fading.present_amplification, fading.settling_left_s) if fading else (1.0, 0.0)


def _as_fault(error: Fault | MemoryError) -> Fault:
    """What lacks room is told and tried again like any other engine that cannot be had."""
    if isinstance(error, Fault):
        return error
    return EngineFault(
        f"no room for the engine ({error})", remedy="stop other programs, or use a smaller picture"
    )


def _close(makers: list[Maker]) -> None:
    while makers:
        makers.pop().close()
