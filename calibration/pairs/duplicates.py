"""Recognition of near-duplicates among the candidates for a calibration set.

Scales depend on brightness, contrast and motion of a picture, place by place. So a candidate is reduced to those: means
and deviations of luma in 16 x 9 cells, and the mean change since its reference. It is a near-duplicate if a pair of the
same mode is alike in all three. A mean over a cell of thousands of pixels is free
of the sensor's noise and blind to vibration of less than a pixel, so idle repeats are alike whatever the noise;
light that changes by one or two per cent, a shadow, fog, rain or a lorry are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.pairs.calibration_set import Picture, luma_of

CELLS = (9, 16)
LIGHT_GREY_LEVELS = 2.0
"""Mean difference of the cells' brightness from which two pictures differ: twice the hunting of an automatic
exposure."""
LOCAL_GREY_LEVELS = 16.0
"""Difference of brightness of one cell from which two pictures differ: a new object."""
TEXTURE_GREY_LEVELS = 1.0
"""Mean difference of the cells' deviation from which two pictures differ: fog, rain, focus."""
CHANGE_OCTAVES = 0.5
"""Ratio of the changes since the reference from which two pairs differ, as a power of two: motion, or noise."""
_LEAST_CHANGE_GREY_LEVELS = 0.02


@dataclass(frozen=True, eq=False)
class Signature:
    """Features by which pairs are compared."""

    cells: NDArray[np.uint8]
    """2 x 9 x 16: mean luma in grey levels, and twice its deviation."""
    change: float
    """Mean absolute change of luma since the reference, in grey levels."""

    @staticmethod
    def of(frame: Picture, reference: Picture) -> Signature:
        """Signature of a pair, u8[H, W, 3] of one size each."""
        luma = luma_of(frame)
        change = float(np.abs(luma - luma_of(reference)).mean())
        rows, columns = (
            np.linspace(0, side, n + 1).astype(int) for side, n in zip(luma.shape, CELLS, strict=True)
        )
        cells = np.empty((2, *CELLS))
        for y, x in np.ndindex(CELLS):
            cell = luma[rows[y] : rows[y + 1], columns[x] : columns[x + 1]]
            cells[:, y, x] = cell.mean(), 2.0 * cell.std()
        return Signature(np.clip(np.rint(cells), 0, 255).astype(np.uint8), change)

    def alike(self, other: Signature) -> bool:
        """True if the two are near-duplicates."""
        light, deviation = np.abs(self.cells.astype(np.int16) - other.cells)
        ratio = max(self.change, _LEAST_CHANGE_GREY_LEVELS) / max(other.change, _LEAST_CHANGE_GREY_LEVELS)
        return bool(
            light.mean() < LIGHT_GREY_LEVELS
            and light.max() < LOCAL_GREY_LEVELS
            and deviation.mean() / 2.0 < TEXTURE_GREY_LEVELS
            and abs(math.log2(ratio)) < CHANGE_OCTAVES
        )

    @property
    def frozen(self) -> bool:
        """True if frame and reference are equal in every pixel: the camera repeats one picture."""
        return self.change == 0.0

    def encoded(self) -> str:
        """The cells as text, for the manifest, which has the change in a field of its own."""
        return self.cells.tobytes().hex()

    @staticmethod
    def decoded(text: str, change: float) -> Signature:
        """Signature from the manifest's text and change.

        Raises:
            CalibrationFault: the text is not a signature.
        """
        try:
            cells = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(2, *CELLS)
        except ValueError:
            raise CalibrationFault(
                "the set's manifest holds a signature of another kind", remedy="capture a new set"
            ) from None
        return Signature(cells, change)
