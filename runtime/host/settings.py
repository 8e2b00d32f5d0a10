"""Settings of the recovery ladder and the thermal governor."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tremorscope.runtime.settings import Section

Seconds = Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)]
Celsius = Annotated[float, Field(ge=-40, le=150, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class RebootSettings(Section):
    """Last rung of the ladder: restarting the whole device. Off by default."""

    enabled: bool = False
    """The installer must have allowed it too: ``install.sh --allow-reboot``."""
    most_a_day: int = Field(default=2, ge=1, le=24)
    """Most restarts of the device within a day of its running."""
    after_exits: int = Field(default=3, ge=1, le=100)
    """So many starts in a row that never came to good frames go before it."""
    least_uptime_s: Seconds = 1800.0
    """Not sooner than this after the device was started, whatever the clock on the wall says."""


class RecoverySettings(Section):
    """Steps against a camera that gives no frames, and their times."""

    reopen_after_s: Seconds = 10.0
    """First rung: without good frames for so long, the camera is opened anew ..."""
    reopen_attempts: int = Field(default=2, ge=0, le=20)
    """... so many times, each with the same dwell before the next step."""
    restart_argus_dwell_s: Seconds = 120.0
    """Second rung, cameras on the CSI connector only: nvargus-daemon is restarted, and the service with it. Where that
    brought no frames, the next time comes so much later at the earliest ..."""
    restart_argus_attempts: int = Field(default=1, ge=0, le=5)
    """... and after so many times in a row twice as much later each time, up to an hour: a restart takes the frames of
    every other CSI camera away for a while. 0: never."""
    steady_s: Seconds = 30.0
    """After so long with good frames the outage is over and the ladder begins at the bottom again."""
    reboot: RebootSettings = RebootSettings()


class ThermalLevelSettings(Section):
    """Load limits from a temperature on."""

    enter_c: Celsius
    """From this temperature on."""
    rate_fraction: Fraction = 1.0
    """Share of the camera's rate; filters are designed anew for the rate that results."""
    region_fraction: Fraction = 1.0
    """Share of the magnified region's width and height, about its centre."""
    precision: Literal["configured", "int8"] = "configured"
    """int8: the INT8 twin of the engine, where the bundle has one."""
    magnify: bool = True
    """False: measuring goes on, magnification rests."""


class ThermalSettings(Section):
    """Thermal governor: reduces the load of a device that gets hot."""

    enabled: bool = True
    """Reduce the load; temperatures are reported in any case."""
    levels: tuple[ThermalLevelSettings, ...] = (
        ThermalLevelSettings(enter_c=80, precision="int8"),
        ThermalLevelSettings(enter_c=85, precision="int8", rate_fraction=0.5),
        ThermalLevelSettings(enter_c=90, precision="int8", rate_fraction=0.5, region_fraction=0.5),
        ThermalLevelSettings(enter_c=95, precision="int8", rate_fraction=0.5, magnify=False),
    )
    """Mildest first; below the first nothing is held back."""
    hysteresis_c: float = Field(default=5.0, gt=0, le=40, allow_inf_nan=False)
    """A level is left only so much below where it was entered."""
    heat_dwell_s: Seconds = 10.0
    """A level's temperature must last so long before it is entered; least time to the next step up."""
    cool_dwell_s: Seconds = 120.0
    """Likewise for stepping back down."""
    throttled_counts: bool = True
    """Hold a device that throttles itself, or meets its current limit, back by one level at least."""
    source: Literal["auto", "sysfs", "jtop"] = "auto"
    """Source of temperatures, power, clocks, load and fans. sysfs: the kernel's own files. auto: the service of
    jetson-stats (jtop) where it answers, and the kernel's files for all else. jtop: likewise, with a warning while it
    does not answer."""
    zones: tuple[str, ...] = ()
    """Names of the thermal zones that count, as the kernel has them; empty: all that give a believable reading."""

    @model_validator(mode="after")
    def _in_order(self) -> ThermalSettings:
        temperatures = [level.enter_c for level in self.levels]
        if any(later <= earlier for earlier, later in pairwise(temperatures)):
            raise ValueError("levels must become hotter from one to the next: put enter_c in rising order")
        return self
