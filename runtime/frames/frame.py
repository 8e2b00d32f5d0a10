"""A frame: its data, the camera interface that it comes by, the colour description of its video (YUV to RGB), and
its views beside its magnified twin.

A camera writes each frame into a slot of the frame ring (`runtime.frames.buffers`) that the caller hands it, so that
every frame is stored once, where the engine reads it.

The numbers are the code points of ITU-T H.273 (ISO/IEC 23091-2), which containers and H.264 streams store.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

BT601_LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B in luma after ITU-R BT.601."""
BT709, UNSPECIFIED, SMPTE170M = 1, 2, 6
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}
_SCALER_NAMES = {1: "bt709", 4: "fcc", 5: "bt470", 6: "smpte170m", 7: "smpte240m", 9: "bt2020"}
"""Matrix code -> the name by which FFmpeg's scaler knows it."""


@dataclass(frozen=True)
class Colour:
    """Colour description of a video: ``matrix`` is used to convert, the other two are passed on unchanged."""

    matrix: int = SMPTE170M
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    full_range: bool = False
    """True where black and white are 0 and 255 rather than 16 and 235."""
    mastering: str = ""
    """Mastering display and content light of HDR (SMPTE ST 2086, CTA-861.3) in x264's words; empty where not stated."""

    @property
    def is_hdr(self) -> bool:
        """True for brightness of high dynamic range (PQ or HLG), which only shows right where a file says so."""
        return self.transfer in HDR_TRANSFERS

    @property
    def scaler_name(self) -> str:
        """The matrix as FFmpeg's ``scale`` filter names it."""
        return _SCALER_NAMES[self.matrix]


def describe_colour(
    matrix: int, primaries: int, transfer: int, *, height_px: int, full_range: bool = False
) -> Colour:
    """The colour of a video from its tags; an unknown matrix is the usual one for its height.

    Players take BT.601 for standard definition and BT.709 from 720 lines on. RGB sources (matrix 0) are
    written with the same rule.

    >>> [describe_colour(2, 2, 2, height_px=height).scaler_name for height in (1080, 480)]
    ['bt709', 'smpte170m']
    """
    if matrix not in _SCALER_NAMES:
        matrix = BT709 if height_px >= 720 else SMPTE170M
    return Colour(matrix, primaries or UNSPECIFIED, transfer or UNSPECIFIED, full_range)


@dataclass(frozen=True)
class FrameInfo:
    """Number, times and segment of one captured frame."""

    sequence: int
    """Number of the frame as the source counts; a gap means that frames were dropped."""
    timestamp_s: float
    """Capture time in seconds on the source's own clock."""
    segment: int = 0
    """Rises where time or picture do not continue from the frame before: filters and references start anew."""
    captured_s: float | None = field(default=None, compare=False)
    """Capture time on the host's own clock (``time.monotonic``); None where the camera cannot tell."""
    arrived_s: float | None = field(default=None, compare=False)
    """Time at which the whole frame was in the ring, on the same clock; the supervisor fills it in."""


class Camera(Protocol):
    """A source of frames: opened by its constructor, read one frame at a time, closed once."""

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels."""

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels."""

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the source states them; measure the real rate from the timestamps."""

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels`` (H, W, 3; RGB) and return its data, or None at the end."""

    def close(self) -> None:
        """Give the source back; closing twice is harmless."""


class RecordedClip(Camera, Protocol):
    """A recorded clip, whatever its format: a camera that ends, and of which more is known."""

    path: Path
    time_base: Fraction
    """Seconds a tick: every ``timestamp_s`` is a whole number of these."""
    has_timestamps: bool
    """False where the file has none: frames are then taken as evenly spaced."""
    capture_rate_hz: float | None
    """True rate of capture, as stated by the user or the file; None where the times of the frames hold."""
    bit_depth: int
    """Bits that tell brightnesses apart; above 8 `read_luma_into` gives more than ``read_into``."""
    picture_types: bytearray
    """Type of every picture read so far: ``K`` a key frame, else ``I``, ``P``, ``B``, or ``?``."""

    @property
    def frame_count_estimate(self) -> int | None:
        """Number of frames that the file announces; None where it states none."""

    @property
    def colour(self) -> Colour:
        """Matrix, primaries and transfer of the clip."""

    @property
    def pixel_aspect(self) -> Fraction:
        """Width over height of one pixel; 1 for square pixels."""

    def read_luma_into(self, luma: NDArray[np.float32]) -> FrameInfo | None:
        """Write the next frame's luma into ``luma``, (H, W), in grey levels of 0 to 255 with their fractions."""

    def notes(self) -> list[str]:
        """Human-readable peculiarities that bear on what is measured, as far as the recording was read."""


View = Literal["magnified", "split", "difference", "filmed"]
VIEWS: tuple[View, ...] = get_args(View)


class ViewComposer:
    """Composes one view into a given picture, with all working memory made once."""

    def __init__(self, view: View, *, width_px: int, height_px: int) -> None:
        self._view = view
        self._divider_px = max(1, width_px // 960)
        """Width of each of the divider's two lines."""
        size = (height_px, width_px, 3) if view == "difference" else (0, 0, 3)
        self._difference = np.empty(size, np.int16)

    def compose(
        self, frame: NDArray[np.uint8], magnified: NDArray[np.uint8], picture: NDArray[np.uint8]
    ) -> None:
        """Write the view into ``picture``; all are u8[H, W, 3] of the same size.

        magnified: the magnified frame alone.
        split: the left half as filmed, the right half magnified, between them a black and a white line, of
        which one shows on any scene.
        difference: 128 + (magnified - frame) / 2, rounded down: grey where nothing was magnified.
        filmed: the frame alone.
        """
        if self._view == "difference":
            np.subtract(magnified, frame, out=self._difference, dtype=np.int16)
            self._difference += 256
            np.right_shift(self._difference, 1, out=self._difference)
            np.copyto(picture, self._difference, casting="unsafe")  # 0 to 255 by construction
            return
        np.copyto(picture, frame if self._view == "filmed" else magnified)
        if self._view == "split":
            middle, line = picture.shape[1] // 2, self._divider_px
            picture[:, :middle] = frame[:, :middle]
            picture[:, middle - line : middle] = 0
            picture[:, middle : middle + line] = 255
