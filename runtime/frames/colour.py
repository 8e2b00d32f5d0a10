"""Colour description of a video (YUV to RGB), carried from the clip that is read to the video that is written.

The numbers are the code points of ITU-T H.273 (ISO/IEC 23091-2), which containers and H.264 streams store.
"""

from __future__ import annotations

from dataclasses import dataclass

BT601_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma after ITU-R BT.601."""
BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
_SCALER_NAMES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""Matrix code -> the name by which FFmpeg's scaler knows it."""


@dataclass(frozen=True)
class Colour:
    """Colour description of a video: ``matrix`` is used to convert, the other two are passed on unchanged."""

    matrix: int = SMPTE170M
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED

    @property
    def scaler_name(self) -> str:
        """The matrix as FFmpeg's ``scale`` filter names it."""
        return _SCALER_NAMES[self.matrix]


def describe(matrix: int, primaries: int, transfer: int, *, height_px: int) -> Colour:
    """The colour of a video from its tags; an unknown matrix is the usual one for its height.

    Players take BT.601 for standard definition and BT.709 from 720 lines on. RGB sources (matrix 0) are
    written with the same rule.
    """
    if matrix not in _SCALER_NAMES:
        matrix = BT709 if height_px >= 720 else SMPTE170M
    return Colour(matrix, primaries or UNSPECIFIED, transfer or UNSPECIFIED)
