"""Settings of a magnification: of one, and of the live picture's in a configuration."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.magnification.filters import (
    BandSettings,
    Design,
    FilterKind,
    design,
    first_frame,
    frame_before,
    slow_average,
)
from tremorscope.runtime.magnification.magnifier import Mode
from tremorscope.runtime.settings import Frequency, Seconds, Section
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.region_settings import RectangleSettings

Band = tuple[Frequency, Frequency]
"""Lower and upper edge in Hz."""


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

    @property
    def filter_design(self) -> Design:
        """Filter design in any mode, as a function of the measured frame rate in Hz."""
        if self.band is not None:
            return partial(design, self.band)
        if self.mode == "dynamic":
            return frame_before
        return first_frame if self.refresh_s is None else slow_average(self.refresh_s)


class MagnificationSettings(Section):
    """Live magnification for viewers, and when it runs. Measuring goes on in any case, on the raw frames."""

    when: Literal["watched", "always", "never"] = "watched"
    """watched: while somebody watches, and in the clips of events; always: from the first frame on; never: nothing is
    magnified live."""
    amplification: Annotated[float, Field(ge=1, le=1000)] = 20.0
    """Magnified over true displacement. The bundle states what its weights can give."""
    mode: Mode = "static"
    """static: displacement against a reference that follows the scene; dynamic: change from frame to frame; band: the
    motion of the frequencies in bands_hz alone."""
    bands_hz: Annotated[tuple[Band, ...], Field(max_length=2)] = ()
    """Band mode: one or two bands, each a lower and an upper frequency, e.g. [[1.8, 2.4]]."""
    filter: FilterKind = "butterworth"
    """Band mode: butterworth is sharp; iir is soft and settles soonest; fir forgets what is older than its taps."""
    order: Annotated[int, Field(ge=1, le=128)] | None = None
    """Band mode: 1 to 4 for butterworth; taps less one for fir. None takes 2, or what fits the band."""
    notches_hz: Annotated[tuple[Frequency, ...], Field(max_length=8)] = ()
    """Band mode: frequencies that are left out, such as a machine's."""
    refresh_s: Seconds | None = 60.0
    """Static mode: seconds in which the reference follows the scene, so that it does not drift; null keeps the first
    frame for ever."""
    regions: tuple[RectangleSettings, ...] = ()
    """Regions to magnify; everywhere if none is named."""
    feather_px: Annotated[float, Field(ge=0, le=1000)] = 16.0
    """Width of the soft seam around regions."""
    max_displacement_px: Annotated[float, Field(gt=0, le=1000)] | None = None
    """The most that is added to any displacement; null adds all. With 6 or so a passing lorry stays in one piece."""
    runtime: RuntimeChoice = "auto"
    """Runtime of the network: auto takes the fastest that this machine has."""
    bundle: Path | None = None
    """Network to run: realtime, lite, nano (for the smallest devices), each in FP16 on a GPU and in FP32 on the CPU;
    with -fp16 or -fp32 behind it in that precision anywhere; or a directory that was exported. null: realtime on a GPU,
    nano on a CPU."""
    int8_bundle: Path | None = None
    """Directory of the same network in INT8 (`tremorscope calibrate quantise`), taken while heat asks for it
    (thermal.levels); null stays with the bundle."""
    engines: Path | None = None
    """Directory of built engines; null takes engines within the bundle."""
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    """ONNX Runtime on the CPU: threads that compute; null takes one a core."""

    def wanted(self) -> Magnification:
        """Settings of the magnifier.

        Raises:
            OptionFault: settings that do not go together.
        """
        band = None
        if self.mode == "band":
            band = BandSettings(self.bands_hz, self.filter, self.order, self.notches_hz)
        return Magnification(
            amplification=self.amplification,
            mode=self.mode,
            band=band,
            regions=tuple(each.region() for each in self.regions),
            feather_px=self.feather_px,
            max_displacement_px=self.max_displacement_px,
            refresh_s=self.refresh_s if self.mode == "static" else None,
        )
