"""Settings that all cameras behind GStreamer share: exposure, and which way up the picture is."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from tremorscope.runtime.settings import Section

Flip = Literal["none", "rotate-90", "rotate-180", "rotate-270", "mirror", "upside-down"]
"""Orientation of a picture: turned clockwise by degrees, or mirrored left to right, or top to bottom."""


class ExposureSettings(Section):
    """Exposure and gain. A change of brightness would be magnified like a motion, so both are held by default."""

    exposure_us: float | None = Field(default=None, gt=0, le=10_000_000, allow_inf_nan=False)
    """Exposure time in microseconds, held for ever; empty: the camera finds its own while it settles. Under lamps a
    multiple of their flicker's period, 10000 at 50 Hz mains and 8333 at 60 Hz, keeps flicker out of the picture."""
    gain: float | None = Field(default=None, ge=0, le=1000, allow_inf_nan=False)
    """Gain in the camera's own units (a factor on CSI), held for ever; empty: the camera finds its own."""
    lock: bool = True
    """Hold exposure, gain and white balance once they have settled; false leaves them to the camera all the time."""
    settle_s: float = Field(default=2.0, ge=0, le=60, allow_inf_nan=False)
    """Time after opening in which the camera may adapt before it is locked; its frames are not given out."""
    darkest: int = Field(default=24, ge=0, le=254)
    """A locked camera whose mean brightness is below this grey level adapts again ..."""
    brightest: int = Field(default=232, ge=1, le=255)
    """... and one above this as well, as at dusk and dawn. 0 and 255 switch this off."""
    out_of_range_s: float = Field(default=30.0, gt=0, le=3600, allow_inf_nan=False)
    """Time for which the brightness must stay outside before that."""

    @model_validator(mode="after")
    def _in_order(self) -> ExposureSettings:
        if self.brightest <= self.darkest:
            raise ValueError("darkest must be below brightest")
        return self
