"""Cameras: sources of frames, one file for each kind, behind one interface.

A camera writes each frame into a slot of the frame ring (`runtime.frames.buffers`) that the caller hands it, so that
every frame is stored once, where the engine reads it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.frames.colour import Colour


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


class Recording(Camera, Protocol):
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
