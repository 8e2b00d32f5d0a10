"""Coding of a clip, as far as it bears on motion: key frames, pattern of pictures, bits a pixel, quantiser."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]

BLOCK_PX = 16
"""Side of the blocks that share a quantiser: H.264's macroblocks."""
EXPORT_QUANTISERS = {"export_side_data": "venc_params"}
"""Option of FFmpeg's decoders that hands the quantisers out with each picture."""
STEP_OF_ONE, PER_DOUBLING = 4.0, 6.0
"""H.264's quantiser of step 1, and the quantisers by which the step doubles (ITU-T H.264, 8.5.9)."""
_H264, _MPEG = 1, 2
_HEADER, _BLOCK = "=I4xQQii", "=5i"
_REGULAR = 0.8
"""Share of equal distances from which on a rhythm is one."""


@dataclass(frozen=True, eq=False)
class ClipCoding:
    """Account of how a clip was compressed."""

    codec: str
    pictures: int
    bits_per_pixel: float
    """Bits of the pictures that are coded by their difference from others; of all, where there are none such."""
    is_predicted: bool
    """True where pictures are coded by their difference from others."""
    key_interval: int | None
    """Pictures from key frame to key frame, where it is regular; None otherwise, and without prediction."""
    pattern: int
    """Pictures from one that is not a B picture to the next: 4 of IBBBP, 1 without B pictures."""
    quantiser: Values | None
    """Mean quantiser of the predicted pictures, by blocks of 16x16 px as they are stored; None where unknown."""

    @classmethod
    def none(cls, pictures: int) -> ClipCoding:
        """That of pictures which were not compressed, or each by itself."""
        return cls("none", pictures, 0.0, is_predicted=False, key_interval=None, pattern=1, quantiser=None)


class CodingAccount:
    """Gathers what packets and pictures tell, in constant memory but for a byte a picture."""

    def __init__(self) -> None:
        self._predicted_bytes = self._key_bytes = 0
        self._sum: Values | None = None
        self._counted = 0

    @property
    def only_keys(self) -> bool:
        """True while every packet was marked as a key frame."""
        return not self._predicted_bytes

    def add_packet(self, packet: Any) -> None:
        """Take note of a packet of the stream."""
        if packet.is_keyframe:
            self._key_bytes += packet.size
        else:
            self._predicted_bytes += packet.size

    def add_picture(self, frame: Any) -> None:
        """Take note of the quantisers of a decoded picture, where the decoder hands them out."""
        data = None if frame.key_frame else frame.side_data.get("VIDEO_ENC_PARAMS")
        found = None if data is None else _quantisers(bytes(data), frame)
        if found is None:
            return
        self._sum = found if self._sum is None or self._sum.shape != found.shape else self._sum + found
        self._counted += 1

    def coding(self, codec: str, picture_types: bytes, pixels: int) -> ClipCoding:
        """The account of the pictures so far, whose types `ClipCamera.picture_types` holds."""
        types = np.frombuffer(picture_types, np.uint8)
        keys = np.flatnonzero(types == ord("K"))
        anchors = np.flatnonzero(types != ord("B"))
        predicted = types.size - keys.size
        coded = self._predicted_bytes + (0 if predicted else self._key_bytes)
        return ClipCoding(
            codec,
            types.size,
            8 * coded / (pixels * max(1, predicted or types.size)),
            predicted > 0,
            _rhythm(keys) if predicted else None,
            _usual_step(anchors),
            None if self._sum is None else self._sum / self._counted,
        )


def _quantisers(data: bytes, frame: Any) -> Values | None:
    """Quantiser of every macroblock, (rows, columns), on the scale of 8-bit H.264; None of another codec.

    FFmpeg's AVVideoEncParams and AVVideoBlockParams (libavutil/video_enc_params.h). Of MPEG-1, 2 and 4, H.263 and WMV
    it states the step itself.
    """
    count, offset, size, kind, base = struct.unpack_from(_HEADER, data)
    columns, rows = -(-frame.width // BLOCK_PX), -(-frame.height // BLOCK_PX)
    if kind not in (_H264, _MPEG) or size < struct.calcsize(_BLOCK) or count < 1:
        return None
    blocks = np.frombuffer(data, np.int32, count * (size // 4), offset).reshape(count, -1)
    found = np.full((rows, columns), float(base))
    inside = (blocks[:, 0] < columns * BLOCK_PX) & (blocks[:, 1] < rows * BLOCK_PX)
    kept = blocks[inside]
    found[kept[:, 1] // BLOCK_PX, kept[:, 0] // BLOCK_PX] += kept[:, 4]
    if kind == _MPEG:
        return STEP_OF_ONE + PER_DOUBLING * np.log2(np.maximum(found, 1))
    depth: int = frame.format.components[0].bits
    return found - PER_DOUBLING * (depth - 8)


def _usual_step(places: NDArray[np.intp]) -> int:
    """The most frequent distance of places; 1 of fewer than two."""
    return int(np.bincount(np.diff(places)).argmax()) if places.size > 1 else 1


def _rhythm(places: NDArray[np.intp]) -> int | None:
    """The distance of places where most have the same, and there are three at least."""
    steps = np.diff(places)
    usual = _usual_step(places)
    return usual if steps.size > 1 and (steps == usual).mean() >= _REGULAR else None
