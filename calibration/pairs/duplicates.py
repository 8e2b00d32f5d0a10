"""Which candidates add something to a calibration set, and which show once more what it holds already.

Scales follow from how bright, how contrasty and how much in motion a picture is, place by place. So a candidate is
reduced to just that: means and deviations of luma in 16 x 9 cells, and the mean change since its reference. It is a
near-duplicate if some pair of the same kind is alike in all three. A mean over a cell of thousands of pixels is free
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
"""Mean difference of the cells' brightness from which on two pictures differ: twice what an automatic exposure
hunts about."""
LOCAL_GREY_LEVELS = 16.0
"""Difference of brightness of one cell from which on two pictures differ: something stands there that did not."""
TEXTURE_GREY_LEVELS = 1.0
"""Mean difference of the cells' deviation from which on two pictures differ: fog, rain, focus."""
CHANGE_OCTAVES = 0.5
"""Ratio of the changes since the reference from which on two pairs differ, as a power of two: motion, or noise."""
_LEAST_CHANGE_GREY_LEVELS = 0.02


@dataclass(frozen=True, eq=False)
class Signature:
    """What a pair is compared by."""

    cells: NDArray[np.uint8]
    """2 x 9 x 16: mean luma in grey levels, and twice its deviation."""
    change: float
    """Mean absolute change of luma since the reference, in grey levels."""

    @staticmethod
    def of(frame: Picture, reference: Picture) -> Signature:
        """Of two pictures u8[H, W, 3] of one size."""
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
        """Whether the other shows the same once more."""
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
        """Whether frame and reference are the same picture, pixel by pixel: a camera that stands still in itself."""
        return self.change == 0.0

    def encoded(self) -> str:
        """The cells as text, for the manifest; the change stands there already."""
        return self.cells.tobytes().hex()

    @staticmethod
    def decoded(text: str, change: float) -> Signature:
        """From the manifest.

        Raises:
            CalibrationFault: the text is none of a signature.
        """
        try:
            cells = np.frombuffer(bytes.fromhex(text), np.uint8).reshape(2, *CELLS)
        except ValueError:
            raise CalibrationFault(
                "the set's manifest holds a signature of another kind", remedy="capture a new set"
            ) from None
        return Signature(cells, change)
