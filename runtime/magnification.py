"""From what a user asks for to the magnifier that does it: the same for a recorded clip and for a camera."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from runtime.band_magnifier import BandMagnifier
from runtime.cell_mask import cell_mask
from runtime.engines.bundle import Bundle
from runtime.engines.choosing import Runtime
from runtime.errors import OptionFault
from runtime.filters import BandSettings, Design, design, first_frame, frame_before, slow_average
from runtime.magnifier import FrameMagnifier, Magnifier, Mode, check_amplification
from runtime.vibration.regions import Region


@dataclass(frozen=True)
class Magnification:
    """What to magnify, and where."""

    amplification: float
    """Magnified over true displacement."""
    mode: Mode = "static"
    band: BandSettings | None = None
    """Of band mode, and of that alone."""
    regions: tuple[Region, ...] = ()
    """Where to magnify; everywhere if there are none."""
    feather_px: float = 16.0
    """Width of the seam around regions, in which the magnification falls to none."""
    max_displacement_px: float | None = None
    """The most that is added to any displacement; None adds all."""
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
            raise OptionFault(f"a cap of {cap_px:g} px cannot be", remedy="give a number of pixels above 0")

    @property
    def filters(self) -> bool:
        """True where the band graph is needed, whatever the mode."""
        plain = self.mode != "band" and self.refresh_s is None
        return bool(not plain or self.regions or self.max_displacement_px is not None)


def open_magnifier(
    wanted: Magnification,
    bundle: Bundle,
    runtime: Runtime,
    *,
    width_px: int,
    height_px: int,
    rate_hz: float,
) -> FrameMagnifier:
    """The magnifier for frames of one size.

    Static and dynamic mode take the pairwise graph, which has no state. Where a region, a cap or a refreshed
    reference is asked for they take the band graph, in which each of them is a filter of its own.

    Raises:
        OptionFault: an amplification, a band or a region that cannot be used.
        BundleFault: the bundle has no graph for it.
        EngineFault: its engine cannot be loaded or run.
    """
    check_amplification(wanted.amplification, bundle.manifest.amplification)
    if not wanted.filters:
        assert wanted.mode != "band"
        return Magnifier(
            runtime.open_pairwise(),
            mode=wanted.mode,
            amplification=wanted.amplification,
            allocate=runtime.allocate,
        )
    wanted_design = filter_design(wanted)
    wanted_design(rate_hz)  # a band that cannot be is told before a network is loaded
    engine = runtime.open_band()
    engine.set_mask(
        cell_mask(
            wanted.regions,
            width_px=width_px,
            height_px=height_px,
            cell_px=engine.cell_px,
            feather_px=wanted.feather_px,
        )
    )
    return BandMagnifier(
        engine,
        wanted_design,
        amplification=wanted.amplification,
        rate_hz=rate_hz,
        max_displacement_px=wanted.max_displacement_px,
    )


def filter_design(wanted: Magnification) -> Design:
    """What designs the filter of a magnification, whatever its mode, for the rate that is measured."""
    if wanted.band is not None:
        return partial(design, wanted.band)
    if wanted.mode == "dynamic":
        return frame_before
    return first_frame if wanted.refresh_s is None else slow_average(wanted.refresh_s)
