"""Magnification settings, and the magnifiers made for them, for recorded clips and cameras alike."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from tremorscope.runtime.engines.interface.bundle import Bundle
from tremorscope.runtime.engines.interface.engine import BandEngine, PairwiseEngine
from tremorscope.runtime.engines.selection import Runtime
from tremorscope.runtime.errors import EngineFault, OptionFault
from tremorscope.runtime.frames.copies import CopyAccount
from tremorscope.runtime.frames.ring import LeaseError
from tremorscope.runtime.magnification.band_magnifier import BandMagnifier
from tremorscope.runtime.magnification.filters import (
    BandSettings,
    Design,
    design,
    first_frame,
    frame_before,
    slow_average,
)
from tremorscope.runtime.magnification.magnifier import FrameMagnifier, Magnifier, Mode, check_amplification
from tremorscope.runtime.magnification.mask import cell_mask
from tremorscope.runtime.vibration.displacement.regions import Region


@dataclass(frozen=True)
class Magnification:
    """Settings of a magnification: frequencies, regions, amplification and limits."""

    amplification: float
    """Magnified over true displacement."""
    mode: Mode = "static"
    band: BandSettings | None = None
    """Frequency bands in band mode; None in all other modes."""
    regions: tuple[Region, ...] = ()
    """Regions to magnify; none stands for the whole picture."""
    feather_px: float = 16.0
    """Width of the seam around regions, in which the magnification falls to none."""
    max_displacement_px: float | None = None
    """Largest displacement that is added; None sets no limit."""
    refresh_s: float | None = None
    """In static mode, seconds in which the reference follows the scene; None keeps the first frame."""

    def __post_init__(self) -> None:
        if (self.mode == "band") != (self.band is not None):
            raise OptionFault(
                "band mode and a band go together",
                remedy="give --mode band with --band LOW HIGH, or neither",
            )
        if self.refresh_s is not None and self.mode != "static":
            raise OptionFault(
                f"the reference of {self.mode} mode needs no refreshing", remedy="leave --refresh out"
            )
        cap_px = self.max_displacement_px
        if cap_px is not None and not 0 < cap_px < float("inf"):
            raise OptionFault(
                f"largest displacement {cap_px:g} px: not a finite number above 0",
                remedy="give pixels, e.g. 4",
            )

    @property
    def filters(self) -> bool:
        """True where the band graph is needed, which other modes may need as well."""
        plain = self.mode != "band" and self.refresh_s is None
        return bool(not plain or self.regions or self.max_displacement_px is not None)


class MagnifierMaker:
    """Makes magnifiers on one pair of engines; used by one thread."""

    def __init__(
        self,
        bundle: Bundle,
        runtime: Runtime,
        size: tuple[int, int],
        account: CopyAccount | None = None,
        *,
        owns_runtime: bool = False,
    ) -> None:
        self._bundle, self._runtime, self._size, self._account = bundle, runtime, size, account
        self._owns_runtime = owns_runtime
        self._pairwise: PairwiseEngine | None = None
        self._band: BandEngine | None = None

    def prepare(self, wanted: Magnification) -> None:
        """Open the engine that a magnification needs, which may take seconds.

        Raises:
            BundleFault: the bundle has no graph for it.
            EngineFault: it cannot be loaded or run.
        """
        if wanted.filters:
            self._band = self._band or self._runtime.open_band()
        else:
            self._pairwise = self._pairwise or self._runtime.open_pairwise()

    def close(self) -> None:
        """Give the engines back, and a runtime of its own; its magnifiers must not be used any more."""
        opened = [engine for engine in (self._pairwise, self._band) if engine is not None]
        self._pairwise = self._band = None
        for engine in opened:
            with suppress(EngineFault):  # a failed engine may fail once more here
                self._runtime.give_back(engine)
        if self._owns_runtime:
            with suppress(LeaseError, EngineFault):
                self._runtime.close()

    def make(self, wanted: Magnification, rate_hz: float) -> FrameMagnifier:
        """A magnifier that begins with the next frame; the one before on the same engine must not be used again.

        Static and dynamic mode take the pairwise graph, which has no state. Where a region, a cap or a refreshed
        reference is asked for they take the band graph, in which each of them is a filter of its own.

        Raises:
            OptionFault: an amplification, a region or a band out of range at this rate.
            BundleFault: the bundle has no graph for it.
            EngineFault: its engine cannot be loaded or run.
        """
        check_amplification(wanted.amplification, self._bundle.manifest.amplification)
        if not wanted.filters:
            self.prepare(wanted)
            assert self._pairwise is not None
            assert wanted.mode != "band"
            return Magnifier(
                self._pairwise,
                mode=wanted.mode,
                amplification=wanted.amplification,
                allocate=self._runtime.allocate,
                account=self._account,
            )
        wanted_design = filter_design(wanted)
        wanted_design(rate_hz)  # refuses an impossible band before a network is loaded
        self.prepare(wanted)
        assert self._band is not None
        self._band.set_mask(
            cell_mask(
                wanted.regions,
                width_px=self._size[0],
                height_px=self._size[1],
                cell_px=self._band.cell_px,
                feather_px=wanted.feather_px,
            )
        )
        return BandMagnifier(
            self._band,
            wanted_design,
            amplification=wanted.amplification,
            rate_hz=rate_hz,
            max_displacement_px=wanted.max_displacement_px,
        )


def open_magnifier(
    wanted: Magnification, bundle: Bundle, runtime: Runtime, *, width_px: int, height_px: int, rate_hz: float
) -> FrameMagnifier:
    """A magnifier of frames of one size, on an engine of its own; see `MagnifierMaker.make`."""
    return MagnifierMaker(bundle, runtime, (width_px, height_px)).make(wanted, rate_hz)


def filter_design(wanted: Magnification) -> Design:
    """Filter design of a magnification, in any mode, as a function of the measured frame rate in Hz."""
    if wanted.band is not None:
        return partial(design, wanted.band)
    if wanted.mode == "dynamic":
        return frame_before
    return first_frame if wanted.refresh_s is None else slow_average(wanted.refresh_s)
