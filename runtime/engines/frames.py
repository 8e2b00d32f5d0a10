"""The check that stands before every pointer: a wrong array would be read beyond its end instead of being refused."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def check_frame(pixels: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
    """Check that ``pixels`` is a contiguous frame of this shape.

    Raises:
        ValueError: it is not.
    """
    if pixels.shape != shape or pixels.dtype != np.uint8 or not pixels.flags.c_contiguous:
        raise ValueError(f"not a contiguous uint8 frame of shape {shape}: {pixels.dtype} {pixels.shape}")
