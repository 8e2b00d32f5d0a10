"""Pictures and clips that geometry is calibrated from."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.host.files import printable

MOST_OF_A_CLIP = 40


@dataclass(frozen=True, eq=False)
class Shot:
    """A picture, u8 (H, W, 3; RGB), and its name."""

    name: str
    picture: NDArray[np.uint8]


def read_shots(paths: Sequence[Path], most: int = MOST_OF_A_CLIP) -> list[Shot]:
    """Pictures of all files; of a clip at most ``most``, spread evenly over it.

    Raises:
        ClipFault: a file is neither a picture nor a clip.
    """
    shots: list[Shot] = []
    for path in paths:
        # OpenCV would turn a photograph by its EXIF; the camera's own frames are never turned.
        picture = (
            cv2.imread(str(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            if path.is_file()
            else None
        )
        if picture is not None:
            shots.append(
                Shot(printable(path.name), np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))
            )
        else:
            shots += _from_clip(path, most)
    return shots


def _from_clip(path: Path, most: int) -> list[Shot]:
    kept: list[Shot] = []
    stride, number = 1, 0
    with closing(open_recording(path, assumed_rate_hz=1.0)) as camera:
        frame = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
        while camera.read_into(frame) is not None:
            if number % stride == 0:
                kept.append(Shot(f"{printable(path.name)} frame {number}", frame.copy()))
                if most == 1:
                    return kept
                if len(kept) > 2 * most:
                    kept, stride = kept[::2], 2 * stride
            number += 1
    if not kept:
        raise ClipFault(f"{path}: holds no picture", remedy="name a picture or a clip")
    return kept[:: max(1, -(-len(kept) // most))]
