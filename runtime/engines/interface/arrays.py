"""Checks of arrays before their pointers are used: a wrong one would be read beyond its end."""

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


class FixedFrames:
    """Frame size and form that all runners share, and the check of arrays against them."""

    _input_shape: tuple[int, int, int]
    _picture_shape: tuple[int, int, int]

    def _take_frames(self, width_px: int, height_px: int, channels: int) -> None:
        self._input_shape, self._picture_shape = (height_px, width_px, channels), (height_px, width_px, 3)

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""
        return self._picture_shape[1]

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""
        return self._picture_shape[0]

    @property
    def channels(self) -> int:
        """Bytes a pixel of the frames that go in."""
        return self._input_shape[2]

    def _check_frames(
        self, frame: NDArray[np.uint8], before: NDArray[np.uint8], magnified: NDArray[np.uint8]
    ) -> None:
        check_frame(frame, self._input_shape)
        check_frame(before, self._input_shape)
        check_frame(magnified, self._picture_shape)
