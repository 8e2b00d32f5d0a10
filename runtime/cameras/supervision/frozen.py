"""Distinguishes a stuck picture from a still scene: no sensor gives the same noise twice, a stuck encoder does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_ROWS, _COLUMNS = 32, 48
_DARKEST, _BRIGHTEST = 4, 251
"""Range of values in which noise can be seen; outside a value may be clipped."""
_FEWEST = 64
_MOVED_SHARE = 0.002
"""Least share of changed values, of those that could show noise, in a new picture: a clock written into a stuck
picture changes fewer, the noise of a still scene (0.3 grey levels and more) ten times as many."""
_FEWEST_FRAMES = 15
_WEIGHT = 10
"""Equal pictures that make up for a different one: key frames of a stuck encoder differ a little."""
_OTHERS = 3
"""Different pictures in a row that end a stuck picture."""


class StuckPictureDetector:
    """Detector of a stuck picture over all openings of one camera; examines a few thousand bytes of each frame."""

    def __init__(self, still_s: float | None, *, reopens: bool) -> None:
        """Begin.

        Args:
            still_s: longest time of the same picture; None: for ever.
            reopens: whether opening the camera again may help; a recorded clip would only begin anew.
        """
        self._still_s, self._reopens = still_s, reopens
        self._most = math.inf
        self._alike = self._sequence = 0
        self._before: NDArray[np.uint8] | None = None
        self._stands, self._reopen_at_s = False, -math.inf

    @property
    def trouble(self) -> str:
        """Reason why its frames are refused, in one line."""
        return (
            f"the picture has been the same for {self._still_s:g} s, noise and all: a sensor or an encoder is stuck "
            "(for a source without noise: camera.may_stand_still)"
        )

    def reopened(self, rate_hz: float, now_s: float) -> None:
        """Expect so many frames a second; a stuck picture must change first."""
        if self._still_s is not None:
            self._most = max(_FEWEST_FRAMES, math.ceil(self._still_s * rate_hz))
            self._alike = min(self._alike, int(self._most))
            self._reopen_at_s = now_s + self._still_s if self._stands else -math.inf

    def look(self, pixels: NDArray[np.uint8], sequence: int | None = None) -> bool:
        """Take the next frame, u8[H, W, 3], and its number; returns whether the picture stands still.

        Frames that were lost in between count as the ones beside them, but no fewer than fifteen must have come.
        """
        if self._still_s is None:
            return False
        height, width = pixels.shape[:2]
        sample = pixels[:: -(-height // _ROWS), :: -(-width // _COLUMNS)].copy()
        if self._before is None or _differ(self._before, sample):
            self._alike = max(0, self._alike - _WEIGHT)
        else:
            passed = 1 if sequence is None else max(1, sequence - self._sequence)
            self._alike = min(self._alike + min(passed, int(self._most) // _FEWEST_FRAMES), int(self._most))
        self._sequence = sequence or 0
        self._before = sample
        least = max(0, self._most - _OTHERS * _WEIGHT) if self._stands else self._most - 1
        self._stands = self._alike > least
        return self._stands

    def wants_reopening(self, now_s: float) -> bool:
        """True where the camera is to be opened again: once at the beginning, and after each vain attempt."""
        return self._reopens and now_s >= self._reopen_at_s


def _differ(before: NDArray[np.uint8], now: NDArray[np.uint8]) -> bool:
    if before.shape != now.shape:
        return True
    shows_noise = (now > _DARKEST) & (now < _BRIGHTEST)
    count = int(np.count_nonzero(shows_noise))
    changed = now != before
    if count < _FEWEST:
        return bool(changed.any())
    return int(np.count_nonzero(changed & shows_noise)) > _MOVED_SHARE * count
