"""The file of a calibration pair: two pictures as FFV1 in Matroska, lossless, each slice with its own checksum.

FFV1 version 3 (RFC 9043) is smaller and faster than PNG, and unlike lossless H.264 has checksums and decodes faster
than it encodes; any player shows such a file as a clip of two pictures, reference first.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tremorscope.calibration.errors import CalibrationFault

Picture = NDArray[np.uint8]
_CODEC_OPTIONS = {"level": "3", "slices": "4", "slicecrc": "1"}


def encode_pair(frame: Picture, reference: Picture) -> bytes:
    """Encode two pictures u8[H, W, 3] of one size, RGB, as a file's content; equal pictures give equal bytes."""
    content = io.BytesIO()
    # Without bitexact the file would carry random identifiers, and equal sets different hashes.
    with av.open(content, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        stream: Any = container.add_stream("ffv1", rate=1, options=_CODEC_OPTIONS)
        stream.height, stream.width = frame.shape[:2]
        stream.pix_fmt = "bgr0"
        stream.codec_context.thread_count = 1
        for number, picture in enumerate((reference, frame)):
            packed: Any = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24").reformat(
                format="bgr0"
            )
            packed.pts = number
            container.mux(stream.encode(packed))
        container.mux(stream.encode(None))
    return content.getvalue()


def read_pair(path: Path) -> tuple[Picture, Picture]:
    """Read frame and reference, u8[H, W, 3] each, RGB.

    Raises:
        CalibrationFault: the file is missing, or is not two pictures of one size.
    """
    damaged = CalibrationFault(
        f"{path}: is not a pair of pictures", remedy="restore the file from a copy, or capture the set again"
    )
    try:
        with av.open(str(path)) as container:
            pictures = [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]
    except FileNotFoundError:
        raise CalibrationFault(
            f"{path}: missing from the set", remedy="copy the whole directory again, or capture the set again"
        ) from None
    except (av.FFmpegError, OSError, IndexError, UnicodeDecodeError):
        raise damaged from None
    if len(pictures) != 2 or pictures[0].shape != pictures[1].shape:
        raise damaged
    return pictures[1], pictures[0]
