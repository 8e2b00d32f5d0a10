"""A recorded clip, steadied: every frame laid back onto a reference by the camera's motion, and cropped alike."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.info import FrameInfo
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.samples import Samples, Span
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.steady import find_camera
from tremorscope.runtime.vibration.displacement.warping import CameraModel, Matrix, moved, warped

Picture = NDArray[np.uint8]

_LEAST_KEPT = 0.4
"""Share of the picture's width and height that must be seen in all frames."""


class SteadyClip(ClipCamera):
    """Reads a clip's frames as a camera that stands still would have filmed them, cropped to what all of them show.

    Args:
        path: the clip.
        matrices: the camera's motion in each frame, from the reference to it.
        crop: what all frames show, in the reference.
    """

    def __init__(self, path: Path, matrices: list[Matrix], crop: Region) -> None:
        super().__init__(path)
        self._matrices, self._crop = matrices, crop
        self._whole: Picture = np.empty((super().height_px, super().width_px, 3), np.uint8)

    @property
    def width_px(self) -> int:
        """Width of every frame, cropped."""
        return self._crop.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame, cropped."""
        return self._crop.height_px

    def seen_from(self, wanted: Magnification) -> Magnification:
        """A magnification whose regions were named in the clip's own first frame, for the cropped one."""
        crop = self._crop
        moved_in = (
            replace(each, x_px=each.x_px - crop.x_px, y_px=each.y_px - crop.y_px) for each in wanted.regions
        )
        return replace(wanted, regions=tuple(moved_in))

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame, steadied, into ``pixels``, u8[H, W, 3] RGB; None at the end.

        Raises:
            ClipFault: a frame is damaged, or the clip has changed since its motion was found.
        """
        info = super().read_into(self._whole)
        if info is None:
            return None
        if info.sequence >= len(self._matrices):
            raise ClipFault(
                f"{self.path}: has changed while it was read", remedy="name a clip that is finished"
            )
        laid = warped(self._whole, self._matrices[info.sequence], self._crop)
        np.clip(np.rint(laid), 0, 255, out=laid)
        pixels[:] = laid
        return info


def steady_clip(path: Path, model: CameraModel, progress: Progress | None = None) -> tuple[SteadyClip, str]:
    """Find the camera's motion through a clip, and open the clip without it.

    The clip is read twice for that: for frames to segment, and for the motion in each.

    Returns:
        The clip, and a human-readable line on the motion and the crop.

    Raises:
        OptionFault: OpenCV is not installed, too little stands still, or the camera moves too far to see the same.
        ClipFault: the clip cannot be read.
    """
    samples, count = Samples(Span(reference="first")), 0
    with closing(ClipCamera(path)) as clip:
        size = clip.width_px, clip.height_px
        frame = FrameRing(1, width_px=size[0], height_px=size[1]).frame(0)
        while (info := clip.read_into(frame)) is not None:
            samples.add(frame, info.timestamp_s)
            count += 1
            if progress is not None:
                progress(count, None)
    if count < 2:
        raise ClipFault(
            f"{path}: holds one frame only, so no motion", remedy="name a clip of two frames or more"
        )
    camera = find_camera(samples.pictures(), model)[0]
    matrices: list[Matrix] = []
    unknown = 0
    with closing(ClipCamera(path)) as clip:
        while clip.read_into(frame) is not None:
            found = camera.find(frame)
            unknown += found is None
            # A frame whose motion is not found stays where the one before it was.
            matrices.append(found if found is not None else matrices[-1] if matrices else np.eye(3))
            if progress is not None:
                progress(len(matrices), count)
    crop = _seen_by_all(matrices, *size)
    kept = crop.width_px * crop.height_px / (size[0] * size[1])
    lost = f", not found in {unknown} frames" if unknown else ""
    line = (
        f"{camera.line()}{lost}; cropped to {crop.width_px}x{crop.height_px} px at x {crop.x_px}, y {crop.y_px}, "
        f"{kept:.0%} of the picture"
    )
    return SteadyClip(path, matrices, crop), line


def _seen_by_all(matrices: list[Matrix], width_px: int, height_px: int) -> Region:
    """The rectangle of even sides, in the reference, that every frame shows."""
    corners = np.array([(0, 0), (width_px - 1, 0), (0, height_px - 1), (width_px - 1, height_px - 1)], float)
    seen = np.stack(
        [moved(np.linalg.inv(each).astype(np.float64), corners) for each in matrices]
    )  # (frames, 4, 2)
    left = math.ceil(max(0.0, float(seen[:, (0, 2), 0].max())))
    right = math.floor(min(width_px - 1.0, float(seen[:, (1, 3), 0].min())))
    top = math.ceil(max(0.0, float(seen[:, (0, 1), 1].max())))
    bottom = math.floor(min(height_px - 1.0, float(seen[:, (2, 3), 1].min())))
    width, height = ((side + 1) // 2 * 2 for side in (right - left, bottom - top))
    if width < max(16, _LEAST_KEPT * width_px) or height < max(16, _LEAST_KEPT * height_px):
        raise OptionFault(
            "--stabilise: the camera moves so far that hardly anything is seen all the time",
            remedy="cut the clip into parts in which it points at the same, and magnify each",
        )
    return Region(left, top, width, height)
