"""Overlays of a recorder on its pictures: bars, borders, labels and clocks, where no structure can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from tremorscope.runtime.vibration.displacement.windows import as_luma

Picture = NDArray[Any]
Mask = NDArray[np.bool_]
Grey = NDArray[np.float32]

_FROZEN_LEVELS = 1
"""Range over time, in grey levels, of a pixel that no sensor delivered."""
_NOISY_LEVELS = 3
"""Range of the scene's pixels from which on a pixel without noise stands out."""
_DARKEST, _BRIGHTEST = 3, 252
"""Grey levels beyond which a pixel may be clipped by the exposure, and without noise for that reason."""
_LETTER_CONTRAST = 40.0
"""Contrast of letters to their box, in grey levels, at least."""
_BAR_SPREAD, _BAR_CHANGE = 2.0, 2
_REACH_PX = 4
"""Width around an overlay that resampling and blur mix with it."""
_NEAR_PX = 11
"""Size of the neighbourhood in which clipped pixels that are frozen must stand beside other frozen ones."""


def find_overlays(frames: Sequence[Picture]) -> Mask:
    """Find what was laid over frames (H, W, 3; RGB), or luma, of a recording: (H, W), True where nothing is measured.

    Bars are rows and columns at the border that are even and never change. Labels are pixels that never change
    while the noise of the sensor makes all others do so; what the exposure clips, such as a white sky, is none.
    In recordings whose compression left no noise labels cannot be told from what stands still.
    """
    darkest = brightest = as_luma(frames[0]).astype(np.float32)
    for frame in frames[1:]:
        grey = as_luma(frame).astype(np.float32)
        darkest, brightest = np.minimum(darkest, grey), np.maximum(brightest, grey)
    found = _bars(darkest, brightest) | _drawn(_labels(darkest, brightest), darkest)
    reach: Mask = ndimage.binary_dilation(found, iterations=_REACH_PX) if found.any() else found
    return reach


def _bars(darkest: Grey, brightest: Grey) -> Mask:
    rows, columns = _border(darkest, brightest), _border(darkest.T, brightest.T)
    found: Mask = rows[:, None] | columns[None, :]
    return found


def _border(darkest: Grey, brightest: Grey) -> Mask:
    """(rows,), True for those at either end that are even and never change."""
    change = (brightest - darkest).max(axis=1)
    plain = (darkest.max(axis=1) - darkest.min(axis=1) <= _BAR_SPREAD) & (change <= _BAR_CHANGE)
    found: Mask = np.zeros(plain.size, bool)
    if not plain.all():
        found[: np.argmin(plain)] = True
        found[plain.size - np.argmin(plain[::-1]) :] = True
    return found


def _labels(darkest: Grey, brightest: Grey) -> Mask:
    change = brightest - darkest
    exposed = (brightest > _DARKEST) & (darkest < _BRIGHTEST)
    if not exposed.any() or np.median(change[exposed]) < _NOISY_LEVELS:
        return np.zeros(change.shape, bool)
    frozen = change <= _FROZEN_LEVELS
    # Noise leaves a single pixel unchanged now and then, but not several side by side.
    plain = ndimage.binary_opening(frozen & exposed, np.ones((2, 2)))
    white, black = frozen & (darkest >= _BRIGHTEST), frozen & (brightest <= _DARKEST)
    near = np.ones((_NEAR_PX, _NEAR_PX))
    beside = ndimage.binary_dilation(plain | _both(white, black), near)
    labels: Mask = plain | ((white | black) & beside)
    return labels


def _drawn(frozen: Mask, darkest: Grey) -> Mask:
    """The frozen patches that show something: compression freezes flat ones too."""
    patch, count = ndimage.label(ndimage.binary_dilation(frozen, iterations=_REACH_PX))
    if not count:
        return frozen
    numbers = np.arange(1, count + 1)
    low, high, _, _ = ndimage.extrema(np.where(frozen, darkest, np.nan), np.where(frozen, patch, 0), numbers)
    shows = np.concatenate([[False], np.asarray(high) - np.asarray(low) >= _LETTER_CONTRAST])
    kept: Mask = frozen & shows[patch]
    return kept


def _both(white: Mask, black: Mask) -> Mask:
    """Black pixels with white ones within two: letters on a box, or with an outline."""
    around = np.ones((5, 5))
    beside: Mask = black & ndimage.binary_dilation(white, around)
    return beside
