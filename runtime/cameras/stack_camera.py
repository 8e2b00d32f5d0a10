"""A stack of raw pictures as a recording: every picture at its time of capture, slowed down where it was fast."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip_stream import MINIMUM_SIDE_PX
from tremorscope.runtime.cameras.stacks.stack import RawPicture, SizeCheck, Stack
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.buffers import CopyAccount
from tremorscope.runtime.frames.frame import BT601_LUMA, Colour, FrameInfo, describe_colour

_FASTEST_PLAYED_HZ = 60
_SLOWED_DOWN_HZ = 25
"""Playback rate of what was filmed faster than can be played."""
_TICK_S = Fraction(1, 1_000_000)
_WEIGHTS = np.array(BT601_LUMA, np.float32)


class StackCamera:
    """Reads the pictures of a stack in order: as 8-bit RGB, or as luma of their full depth."""

    def __init__(
        self,
        path: Path,
        stack: Stack,
        *,
        capture_rate_hz: float | None = None,
        account: CopyAccount | None = None,
    ) -> None:
        """Take a stack over; it is closed with the camera.

        Args:
            path: the file, for messages.
            stack: the pictures.
            capture_rate_hz: rate of capture; None takes that of the file.
            account: takes note of the pixels that are converted.

        Raises:
            ClipFault: the file states no rate, and none is given; or the pictures are too small.
        """
        self.path, self._stack, self._account = path, stack, account
        rate_hz = capture_rate_hz or stack.rate_hz
        if rate_hz is None:
            raise ClipFault(
                f"{path}: states no rate of capture",
                remedy="give the frames a second at which the camera filmed: --capture-fps 240, for example",
            )
        if min(stack.width_px, stack.height_px) < MINIMUM_SIDE_PX:
            raise ClipFault(
                f"{path}: {stack.width_px}x{stack.height_px} px is too small",
                remedy=f"use a clip of at least {MINIMUM_SIDE_PX}x{MINIMUM_SIDE_PX} px",
            )
        self.width_px, self.height_px, self.bit_depth = stack.width_px, stack.height_px, stack.bit_depth
        slowed = rate_hz > _FASTEST_PLAYED_HZ
        self.nominal_rate_hz = float(_SLOWED_DOWN_HZ if slowed else rate_hz)
        self.capture_rate_hz: float | None = float(rate_hz)
        self.has_timestamps = stack.rate_hz is not None
        self.time_base, self._ticks = _axis(stack, capture_rate_hz, rate_hz, self.nominal_rate_hz)
        white = getattr(stack, "white", 2**stack.bit_depth - 1)
        self._scale = np.float32(255 / white)
        self._white = white
        self._beyond_white = 0
        self.picture_types = bytearray()
        self.colour: Colour = describe_colour(0, 0, 0, height_px=stack.height_px)
        self.pixel_aspect = Fraction(1)

    @property
    def frame_count_estimate(self) -> int | None:
        """Number of frames."""
        return self._stack.frames

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next picture into ``pixels``, u8[H, W, 3] RGB, and return its data, or None at the end.

        Raises:
            ClipFault: a picture is damaged, or unlike the first.
        """
        picture = self._next()
        if picture is None:
            return None
        if picture.dtype != np.uint8 or self._white != 255:
            self._beyond_white += bool((picture > self._white).any())
            grey = np.minimum(picture * self._scale + np.float32(0.5), np.float32(255.5))
            picture = grey.astype(np.uint8)
        pixels[...] = picture if picture.ndim == 3 else picture[..., None]
        if self._account is not None:
            self._account.add("camera: decoded picture", pixels.nbytes)
        return self._info()

    def read_luma_into(self, luma: NDArray[np.float32]) -> FrameInfo | None:
        """Write the next picture's luma into ``luma``, f32[H, W], in grey levels of 0 to 255 with their fractions.

        Raises:
            ClipFault: as `read_into`.
        """
        picture = self._next()
        if picture is None:
            return None
        if picture.ndim == 3:
            np.matmul(picture.astype(np.float32), _WEIGHTS * self._scale, out=luma)
        else:
            np.multiply(picture, self._scale, out=luma)
        return self._info()

    def notes(self) -> list[str]:
        """Human-readable peculiarities of the recording, as far as it was read."""
        notes = list(getattr(self._stack, "notes", ()))
        if self._beyond_white:
            notes.append(
                f"{self._beyond_white} frames are brighter than {self.bit_depth} bits, which were taken for white by "
                "some frames of the recording: only pictures lose by it, displacement does not"
            )
        return notes

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._stack.close()

    def _next(self) -> RawPicture | None:
        number = len(self.picture_types)
        if number >= self._stack.frames:
            return None
        picture = self._stack.picture(number)
        size = (self.height_px, self.width_px)
        if picture.shape not in (size, (*size, 3)) or picture.dtype.kind != "u" or picture.dtype.itemsize > 2:
            shape = "x".join(map(str, picture.shape[1::-1]))
            raise ClipFault(
                f"{self.path}: picture {number + 1} is {shape} px of {picture.dtype}, and the first is "
                f"{self.width_px}x{self.height_px} px",
                remedy="leave it out, or name those that belong together",
            )
        return picture

    def _info(self) -> FrameInfo:
        number = len(self.picture_types)
        self.picture_types += b"K"
        return FrameInfo(sequence=number, timestamp_s=float(self._ticks[number] * self.time_base))


def _axis(
    stack: Stack, stated_hz: float | None, rate_hz: float, playback_hz: float
) -> tuple[Fraction, list[int] | range]:
    """Seconds a tick in playback, and the time of every picture in ticks."""
    times_s: Any = getattr(stack, "times_s", None)
    if stated_hz is None and times_s is not None:
        ticks = np.round((times_s - times_s[0]) * (rate_hz / playback_hz) / float(_TICK_S)).astype(np.int64)
        if ticks.size == stack.frames and (np.diff(ticks) > 0).all():
            return _TICK_S, ticks.tolist()
    interval_s = 1 / Fraction(playback_hz).limit_denominator(100_000)
    places: Any = getattr(stack, "places", None)
    return interval_s, range(stack.frames) if places is None else places.tolist()


def check_stack(path: Path, stack: Stack) -> None:
    """Check the members of a stack that a plug-in made.

    Raises:
        ClipFault: one is missing or cannot be.
    """
    check = SizeCheck(path)
    check.side("width_px", stack.width_px)
    check.side("height_px", stack.height_px)
    check.frames("frames", stack.frames)
    check.whole("bit_depth", stack.bit_depth, 1, 16)
    if stack.rate_hz is not None:
        check.rate("rate_hz", stack.rate_hz)
