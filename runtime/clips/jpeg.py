"""JPEG encoding of live pictures, scaled down on the way, without holding Python's global lock."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

_CHROMA_PX = 2
"""Divisor of width and height, as colours are sampled at half the resolution."""
_FULL_RANGE = 2


def scale_of(quality: int) -> int:
    """FFmpeg's quantiser for a JPEG quality of 1 to 100.

    The quantisation tables are multiplied by 50/quality below 50 and by 2 - quality/50 from there on (the IJG's
    convention, libjpeg); FFmpeg's by q/8.
    """
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    return min(max(round(8 * factor), 2), 31)


class JpegEncoder:
    """Encoder of pictures of one size, in preallocated memory. For one thread at a time."""

    def __init__(self, *, width_px: int, height_px: int, most_width_px: int, quality: int) -> None:
        """Allocate for the filmed size, or for the same shape of ``most_width_px`` if that is narrower."""
        shrink = min(1.0, most_width_px / width_px)
        self.width_px = _even(width_px * shrink)
        self.height_px = _even(height_px * shrink)
        self._reformatter = VideoReformatter()
        self._context = context = av.CodecContext.create("mjpeg", "w")
        context.width, context.height = self.width_px, self.height_px
        context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 1000)
        context.color_range = _FULL_RANGE
        context.thread_count = 1
        scale = str(scale_of(quality))
        context.options = {"qmin": scale, "qmax": scale}

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        """Encode a picture, u8[H, W, 3] RGB and contiguous, as a JPEG file (full-range BT.601, as JFIF says)."""
        frame = av.VideoFrame.from_numpy_buffer(picture, "rgb24")
        shown = self._reformatter.reformat(
            frame,
            width=self.width_px,
            height=self.height_px,
            format="yuvj420p",
            dst_color_range=_FULL_RANGE,
            interpolation="AREA" if self.width_px < picture.shape[1] else "BILINEAR",
        )
        return b"".join(bytes(packet) for packet in self._context.encode(shown))


def _even(size_px: float) -> int:
    return max(_CHROMA_PX, int(size_px) // _CHROMA_PX * _CHROMA_PX)
