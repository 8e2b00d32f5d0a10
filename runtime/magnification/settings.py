"""Settings of the live magnification."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from tremorscope.runtime.engines.selection import RuntimeChoice
from tremorscope.runtime.magnification.filters import BandSettings, FilterKind
from tremorscope.runtime.magnification.magnifier import Mode
from tremorscope.runtime.settings import Frequency, Seconds, Section
from tremorscope.runtime.vibration.settings import RectangleSettings

if TYPE_CHECKING:
    from tremorscope.runtime.magnification.factory import Magnification

Band = tuple[Frequency, Frequency]
"""Lower and upper edge in Hz."""


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
    """Network to run: realtime, lite (for the smallest devices), each in FP16 on a GPU and in FP32 on the CPU; with
    -fp16 or -fp32 behind it in that precision anywhere; or a directory that was exported. null: realtime."""
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
        from tremorscope.runtime.magnification.factory import Magnification  # which imports a runner

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
