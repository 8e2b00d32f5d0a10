"""Error of displacement that lossy compression leaves, by a law that was measured in drawn scenes.

A coder drops what changes by less than a part of its quantiser's step, and a motion changes a pixel by the slope of the
picture there. So what is lost is a number of pixels, whatever the amplitude: what moves less is gone.
`python tests/phantoms.py law` measures the constants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip_coding import BLOCK_PX, PER_DOUBLING, STEP_OF_ONE, ClipCoding
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.windows import Luma

Values = NDArray[np.float64]

LEAST_ERRORS = 1.2
"""Amplitude in standard errors that is surely motion: of 200 drawn clips the largest that was none had 1.1."""
_BY_QUANTISER = 0.05
"""Standard error of an amplitude, in px, for a quantiser step of one grey level a pixel of slope."""
_LEAST_SLOPE = 0.01
"""RMS, in grey levels a pixel, that any picture is taken to have."""
_LOSSLESS_BELOW = 0.5
_BY_BITS = 1e-3
"""The same, in px, for one bit a pixel, where only the bits are known."""
_FEWEST_BITS = 1e-4
_WORTH_A_NOTE_PX = 0.003


def coding_errors_px(
    picture: Luma, regions: Sequence[Region], coding: ClipCoding
) -> tuple[tuple[float, float], ...]:
    """Standard errors along x and y of an amplitude in each region, in px; 0 where each picture stands for itself.

    Args:
        picture: luma of one frame, (H, W).
        regions: where it is measured.
        coding: how the recording was compressed.
    """
    if not coding.is_predicted:
        return ((0.0, 0.0),) * len(regions)
    if coding.quantiser is None:
        error_px = _BY_BITS / max(coding.bits_per_pixel, _FEWEST_BITS)
        return ((error_px, error_px),) * len(regions)
    return tuple(_error_px(picture, each, coding.quantiser) for each in regions)


def coding_note(coding: ClipCoding, errors_px: Sequence[float]) -> str:
    """Human-readable account of what compression costs; empty where that is next to nothing.

    Args:
        coding: how the recording was compressed.
        errors_px: standard errors of the amplitudes that are measured.
    """
    worst_px = max(errors_px, default=0.0)
    if worst_px < _WORTH_A_NOTE_PX:
        return ""
    how = f"{coding.bits_per_pixel:.2g} bits a pixel between key frames"
    if coding.quantiser is not None:
        how += f", quantiser {float(coding.quantiser.mean()):.0f}"
    least, most = f"{min(errors_px):.2g}", f"{worst_px:.2g}"
    span = most if least == most else f"{least} to {most}"
    unsure = f"amplitudes are uncertain by {span} px, and tones below {LEAST_ERRORS:g} times that do not show"
    return f"compressed ({how}): {unsure}"


def _error_px(picture: Luma, region: Region, quantiser: Values) -> tuple[float, float]:
    inside = quantiser[
        region.y_px // BLOCK_PX : -(-(region.y_px + region.height_px) // BLOCK_PX),
        region.x_px // BLOCK_PX : -(-(region.x_px + region.width_px) // BLOCK_PX),
    ]
    if inside.mean() < _LOSSLESS_BELOW:
        return 0.0, 0.0
    step = 2 ** ((float(inside.mean()) - STEP_OF_ONE) / PER_DOUBLING)
    down, right = np.gradient(picture[region.slices])
    xx, xy, yy = (float(np.mean(each)) for each in (right * right, right * down, down * down))
    # Along an edge a coder moves the picture as it likes: of each axis counts what the other does not explain.
    alone = (own - xy * xy / other if other > 0 else own for own, other in ((xx, yy), (yy, xx)))
    along_x, along_y = (_BY_QUANTISER * step / max(each, _LEAST_SLOPE**2) ** 0.5 for each in alone)
    return along_x, along_y
