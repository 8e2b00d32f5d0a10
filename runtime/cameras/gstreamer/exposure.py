"""Exposure, gain and white balance: their settings, and their lock, because a camera that adapts while it films
imitates motion of the structure. With them the setting for the way up of the picture.

After opening the camera adapts for a while, unseen, and is then locked. Outdoors no lock lasts for ever: where the
picture has become too dark or too bright for some time, the camera may adapt once more. Each such change begins a new
segment, so that no filter, reference or spectrum ever sees it as motion.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
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


_LOOK_EVERY_S = 1.0
_STRIDE_PX = 16
_LEAST_CHANGE = 12.0
"""Least change of brightness, in grey levels, to adapt again: a night stays dark with the longest exposure too."""


class ExposureControl(Protocol):
    """A camera's own automatic exposure, gain and white balance. Both calls return at once."""

    def lock(self) -> None:
        """Hold what the camera has found."""

    def free(self) -> None:
        """Let the camera adapt; what the settings fix stays fixed."""


class ExposureHold:
    """Schedule of adapting and locking a camera. Times are seconds on any monotonic clock."""

    def __init__(self, settings: ExposureSettings, control: ExposureControl) -> None:
        self._settings, self._control = settings, control
        self._locked = False
        self._adapts_until_s: float | None = None
        self._next_look_s = 0.0
        self._outside_since_s: float | None = None
        self._brightness_at_lock: float | None = None
        self._segment = 0
        self.adaptations = 0
        """Number of times that the camera was let adapt again since it was opened."""

    def is_settled(self, now_s: float) -> bool:
        """Tell whether the frame that came now is to be given out: not while the camera first adapts."""
        if not self._settings.lock or self._locked or self.adaptations:
            return True
        if self._adapts_until_s is None:
            self._adapts_until_s = now_s + self._settings.settle_s
        if now_s < self._adapts_until_s:
            return False
        self._lock()
        return True

    def look(self, pixels: NDArray[np.uint8], now_s: float) -> int:
        """Examine a frame that is given out, u8[H, W, 3]; returns the segment that it belongs to."""
        if self._settings.lock and now_s >= self._next_look_s:
            self._next_look_s = now_s + _LOOK_EVERY_S
            if self._locked:
                self._judge(float(pixels[::_STRIDE_PX, ::_STRIDE_PX].mean()), now_s)
            elif self._adapts_until_s is not None and now_s >= self._adapts_until_s:
                self._lock()
                self._segment += 1
        return self._segment

    @property
    def _is_fixed(self) -> bool:
        return self._settings.exposure_us is not None and self._settings.gain is not None

    def _judge(self, brightness: float, now_s: float) -> None:
        if self._brightness_at_lock is None:
            self._brightness_at_lock = brightness
        inside = self._settings.darkest <= brightness <= self._settings.brightest
        if inside or self._is_fixed or abs(brightness - self._brightness_at_lock) < _LEAST_CHANGE:
            self._outside_since_s = None
            return
        if self._outside_since_s is None:
            self._outside_since_s = now_s
        if now_s - self._outside_since_s >= self._settings.out_of_range_s:
            self._control.free()
            self._locked, self._outside_since_s = False, None
            self._adapts_until_s = now_s + self._settings.settle_s
            self.adaptations += 1
            self._segment += 1

    def _lock(self) -> None:
        self._control.lock()
        self._locked, self._brightness_at_lock = True, None
