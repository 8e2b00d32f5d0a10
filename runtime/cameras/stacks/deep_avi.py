"""AVI with raw grey pixels of 16 bits (``Y16``), as machine-vision programs write it: FFmpeg finds its frames, and does
not know their pixels."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np

from tremorscope.runtime.cameras.stacks.stack import MOST_PIXELS, RawPicture, SizeCheck, depth_of, spread
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.host.files import file_address

SUFFIX = ".avi"
_CODES = (b"Y16 ", b"Y1\x00\x10")
_HEAD_BYTES = 65536
_FORMAT = struct.Struct("<IiiHH4s")
"""The beginning of the BITMAPINFOHEADER: its size, width, height, planes, bits, code."""


def is_deep_avi(path: Path) -> bool:
    """True for an AVI whose header says that its pixels are grey of 16 bits."""
    try:
        return path.suffix.lower() == SUFFIX and _format_of(path)[5] in _CODES
    except (OSError, ValueError, struct.error):
        return False


def _format_of(path: Path) -> tuple[Any, ...]:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return _FORMAT.unpack_from(head, head.index(b"strf", head.index(b"vids")) + 8)


class DeepAviStack:
    """The frames of such an AVI, read one after the other; bits are found from the pixels, which 16 hold loosely.

    Raises:
        ClipFault: it is damaged.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path, check = path, SizeCheck(path)
        _, width, height, *_ = _format_of(path)
        self.width_px, self.height_px = check.side("biWidth", width), check.side("biHeight", abs(height))
        if self.width_px * self.height_px > MOST_PIXELS:
            raise check.fault("biWidth", width, f"too much at a height of {height}")
        self._container: Any = None
        stream = self._begin()
        self.frames = check.frames("dwLength", stream.frames)
        check.holds(path, self.frames * 8, f"{self.frames} frames")
        self.rate_hz: float | None = check.rate("dwRate", float(stream.average_rate or 0))
        self.bit_depth, self.white = depth_of(self.picture(number) for number in spread(self.frames))

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, (H, W); a frame without pixels repeats the one before.

        Raises:
            ClipFault: it is cut short.
        """
        if number < self._next:
            self._begin()
        while self._next <= number:
            data = self._packet()
            self._next += 1
            if data:
                self._latest = data
        needed = 2 * self.width_px * self.height_px
        if len(self._latest) < needed:
            raise ClipFault(
                f"{self._path}: frame {number + 1}: {len(self._latest)} bytes, and {self.width_px}x{self.height_px} px "
                f"need {needed}",
                remedy="copy it again from the camera",
            )
        return np.frombuffer(self._latest, "<u2", needed // 2).reshape(self.height_px, self.width_px)

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    def _begin(self) -> Any:
        """Open the file anew, and return its stream."""
        self.close()
        try:
            self._container = av.open(file_address(self._path))
        except av.FFmpegError:
            raise ClipFault(f"{self._path}: is not a video", remedy="copy it again from the camera") from None
        stream = self._container.streams.video[0]
        self._packets = self._container.demux(stream)
        self._next, self._latest = 0, b""
        return stream

    def _packet(self) -> bytes:
        try:
            packet = next(self._packets)
        except (StopIteration, av.FFmpegError):
            raise ClipFault(
                f"{self._path}: cut short: {self._next} of {self.frames} frames are readable",
                remedy="copy it again from the camera",
            ) from None
        return bytes(packet) if packet.size else b""
