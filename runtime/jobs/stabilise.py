"""A recorded clip, steadied: every frame laid back onto a reference by the camera's motion, and cropped alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.frames.buffers import FrameRing
from tremorscope.runtime.frames.frame import FrameInfo, RecordedClip
from tremorscope.runtime.host.progress import Progress
from tremorscope.runtime.jobs.samples import Samples, Span
from tremorscope.runtime.magnification.settings import Magnification
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.steady import find_camera
from tremorscope.runtime.vibration.displacement.warping import CameraModel, Matrix, moved, warped
from tremorscope.runtime.vibration.displacement.windows import as_luma

Picture = NDArray[np.uint8]

_LEAST_KEPT = 0.4
"""Share of the picture's width and height that must be seen in all frames."""


class SteadyClip:
    """A recording whose frames are as a camera that stands still would have filmed them, cropped to what all show.

    Args:
        clip: the recording, of which no frame was read.
        matrices: the camera's motion in each frame, from the reference to it.
        crop: what all frames show, in the reference.
    """

    def __init__(self, clip: RecordedClip, matrices: list[Matrix], crop: Region) -> None:
        self.path, self.time_base, self.picture_types = clip.path, clip.time_base, clip.picture_types
        self.has_timestamps, self.capture_rate_hz = clip.has_timestamps, clip.capture_rate_hz
        self.bit_depth = 8
        self.width_px, self.height_px = crop.width_px, crop.height_px
        self.nominal_rate_hz, self.frame_count_estimate = clip.nominal_rate_hz, clip.frame_count_estimate
        self.colour, self.pixel_aspect = clip.colour, clip.pixel_aspect
        self._clip, self._matrices, self._crop = clip, matrices, crop
        self._whole: Picture = np.empty((clip.height_px, clip.width_px, 3), np.uint8)

    def of(self, clip: RecordedClip) -> SteadyClip:
        """The same recording, opened anew, from its first frame."""
        return SteadyClip(clip, self._matrices, self._crop)

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
        info = self._clip.read_into(self._whole)
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

    def read_luma_into(self, luma: NDArray[np.float32]) -> FrameInfo | None:
        """Write the luma of the next frame, steadied, into ``luma``, f32[H, W]; None at the end."""
        picture: Picture = np.empty((self.height_px, self.width_px, 3), np.uint8)
        info = self.read_into(picture)
        luma[:] = as_luma(picture)
        return info

    def notes(self) -> list[str]:
        """Human-readable peculiarities of the clip."""
        return self._clip.notes()

    def close(self) -> None:
        """Close the clip; closing twice is harmless."""
        self._clip.close()


def steady_clip(
    open_clip: Callable[[], RecordedClip], model: CameraModel, progress: Progress | None = None
) -> tuple[SteadyClip, str]:
    """Find the camera's motion through a clip, and open the clip without it.

    The clip is read twice for that: for frames to segment, and for the motion in each.

    Returns:
        The clip, and a human-readable line on the motion and the crop.

    Raises:
        OptionFault: OpenCV is not installed, too little stands still, or the camera moves too far to see the same.
        ClipFault: the clip cannot be read.
    """
    samples, count = Samples(Span(reference="first")), 0
    with closing(open_clip()) as clip:
        size = clip.width_px, clip.height_px
        frame = FrameRing(1, width_px=size[0], height_px=size[1]).frame(0)
        while (info := clip.read_into(frame)) is not None:
            samples.add(frame, info.timestamp_s)
            count += 1
            if progress is not None:
                progress(count, None)
    if count < 2:
        raise ClipFault(
            f"{clip.path}: holds one frame only, so no motion", remedy="name a clip of two frames or more"
        )
    camera = find_camera(samples.pictures(), model)[0]
    matrices: list[Matrix] = []
    unknown = 0
    with closing(open_clip()) as clip:
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
    return SteadyClip(open_clip(), matrices, crop), line


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
