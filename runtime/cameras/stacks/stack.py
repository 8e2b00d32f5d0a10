"""The interface of a stack of raw pictures, and what the formats share: checks of sizes, depth, packed pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import reason_of
from tremorscope.runtime.errors import ClipFault

RawPicture = NDArray[np.unsignedinteger[Any]]
"""Brightness as it is stored, (H, W) or (H, W, 3; RGB), 0 to ``2**bit_depth - 1``, u8 or u16."""

MOST_PIXELS = 2**28
"""Pixels of a picture above which a header is not believed."""
_LONGEST_SIDE_PX = 2**16
_MOST_FRAMES = 2**31
_DEPTHS = (8, 10, 12, 14, 16)
_SAMPLES = 16


class Stack(Protocol):
    """Pictures of one recording, read by number; what a plug-in returns has these members.

    It may have more: ``times_s``, an array (frames,) of times of capture in seconds, or ``places``, whole numbers of
    frames since the first, where some were lost; ``white``, the value of white where it is not ``2**bit_depth - 1``;
    ``notes``, lines that are told beside the results.
    """

    width_px: int
    height_px: int
    frames: int
    bit_depth: int
    """Bits that tell brightnesses apart, 1 to 16."""
    rate_hz: float | None
    """Rate of capture; None where the file does not state it."""

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, counted from 0; they are asked for in their order."""

    def close(self) -> None:
        """Close the file; closing twice is harmless."""


class SizeCheck:
    """Checks of what a header states before anything is allocated or read by it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def whole(self, field: str, value: object, least: int, most: int) -> int:
        """A header's number within its bounds.

        Raises:
            ClipFault: it is no whole number, or out of bounds.
        """
        try:
            number = int(str(value).strip())
        except ValueError:
            raise self.fault(field, value, f"not a whole number of {least} to {most}") from None
        if not least <= number <= most:
            raise self.fault(field, value, f"not within {least} to {most}")
        return number

    def side(self, field: str, value: object) -> int:
        """Length of a side in pixels."""
        return self.whole(field, value, 1, _LONGEST_SIDE_PX)

    def frames(self, field: str, value: object) -> int:
        """Number of frames."""
        return self.whole(field, value, 1, _MOST_FRAMES)

    def rate(self, field: str, value: object) -> float:
        """Frames a second.

        Raises:
            ClipFault: it is no finite number above 0.
        """
        try:
            rate_hz = float(str(value).strip())
        except ValueError:
            rate_hz = 0.0
        if not 0 < rate_hz < 1e9:
            raise self.fault(field, value, "not a number of frames a second")
        return rate_hz

    def fault(self, field: str, value: object, why: str) -> ClipFault:
        """The refusal of one field of the file's header."""
        return ClipFault(
            f"{self.path}: {field}: {str(value)[:60]!r} is {why}",
            remedy="save the recording again from the camera's own program",
        )

    def holds(self, file: Path, needed: int, what: str) -> None:
        """Check that a file has as many bytes as its header states.

        Raises:
            ClipFault: it is shorter, or cannot be read.
        """
        try:
            size = file.stat().st_size
        except OSError as error:
            raise ClipFault(f"{file}: {reason_of(error)}", remedy="check the path") from None
        if size < needed:
            raise ClipFault(
                f"{file}: cut short: {what} need {needed} bytes, and it has {size}",
                remedy="copy it again from the camera",
            )


def unpack_msb_first(packed: NDArray[np.uint8], bits: int, pixels: int) -> NDArray[np.uint16]:
    """Pixels (n,) of 10 or 12 bits that lie one after the other without a gap, the most significant bit first."""
    if bits == 12:
        groups = packed[: -(-pixels // 2) * 3].reshape(-1, 3).astype(np.uint16)
        parts = [groups[:, 0] << 4 | groups[:, 1] >> 4, (groups[:, 1] & 15) << 8 | groups[:, 2]]
    else:
        groups = packed[: -(-pixels // 4) * 5].reshape(-1, 5).astype(np.uint16)
        parts = [
            (groups[:, k] & (255 >> 2 * k)) << (2 + 2 * k) | groups[:, k + 1] >> (6 - 2 * k) for k in range(4)
        ]
    unpacked: NDArray[np.uint16] = np.stack(parts, axis=1).ravel()[:pixels]
    return unpacked


def packed_bytes(bits: int, pixels: int) -> int:
    """Bytes of so many packed pixels, filled up to a whole group of 3 (12 bits) or 5 bytes (10 bits)."""
    return -(-pixels // 2) * 3 if bits == 12 else -(-pixels // 4) * 5


def spread(count: int) -> list[int]:
    """Up to 16 numbers of pictures, spread over so many."""
    return sorted({round(each) for each in np.linspace(0, count - 1, min(count, _SAMPLES))})


def depth_of(samples: Iterable[RawPicture]) -> tuple[int, int]:
    """Bit depth and white of pictures whose file does not state them, from some of them.

    Ten or twelve bits are kept in 16, as the lower ones (then all are below 1024 or 4096), or as the upper ones or
    stretched (then all are multiples of one step).
    """
    highest, step = 0, 0
    for each in samples:
        if each.dtype == np.uint8:
            return 8, 255
        values = np.unique(each)
        highest = max(highest, int(values[-1]))
        step = int(np.gcd(step, np.gcd.reduce(values)))
    white = next(2**bits - 1 for bits in _DEPTHS if highest < 2**bits)
    steps = white // max(step, 1)
    return max(8, min(steps, white).bit_length()) if highest else 16, white
