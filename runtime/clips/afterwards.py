"""Events as they are recorded, and magnified clips of those that came faster than they could be magnified: made after
the event, of the raw clip."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.clips.pre_roll import Magnify
from tremorscope.runtime.clips.writer import EventClipWriter, clip_name
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.frames.buffers import FrameFormat, FrameRing
from tremorscope.runtime.store.records import Clip, EventRecord


@dataclass(frozen=True)
class RecorderState:
    """Counts of a recorder since it was made."""

    recording: str | None
    """The event that is being recorded."""
    waiting: int
    """Clips that are being made, or wait for it."""
    saved: int
    failed: int
    declined: int
    """Triggers without a clip: the disk is low, or too many clips wait to be written."""
    dropped_frames: int
    """Frames that are missing in clips because a thread fell behind."""
    backward_steps: int
    """Number of times that the camera's time ran backwards; a clip ends there."""


def ended_before(file: str) -> OutputFault:
    """The fault of a clip for which the end of the service left no time."""
    return OutputFault(
        f"{file}: the service ended before it was made", remedy="if there is a raw clip, magnify that"
    )


class EventRecording:
    """One event while its frames come in; guarded by the recorder's lock."""

    def __init__(self, event: EventRecord, first: int, start_s: float, end_s: float, limit_s: float) -> None:
        self.event = event
        self.first = first
        self.start_s = start_s
        self.end_s = end_s
        self.limit_s = limit_s
        self.end: int | None = None
        """Number of the first frame that does not belong to it; None while it is not known."""
        self.raw: Clip | None = None
        """The raw clip, once it is finished or has failed."""

    def saved_raw(self) -> Clip:
        """The raw clip, where the magnified one is to be made of it.

        Raises:
            OutputFault: there is none.
        """
        if self.raw is None:
            raise ended_before(clip_name(self.event.name, "magnified"))
        if self.raw.state != "saved":
            raise OutputFault(
                "its frames came faster than they could be magnified, and there is no raw clip",
                remedy="take a smaller network (magnification.bundle: nano)",
            )
        return self.raw


def magnified_of(
    raw: Clip,
    directory: Path,
    frames: FrameFormat,
    magnify: Magnify,
    writer: EventClipWriter,
    is_hurried: Callable[[], bool],
    told: str = "",
) -> Clip:
    """The magnified clip of a raw one, of all its frames.

    Args:
        raw: the clip, saved.
        directory: directory of the clips.
        frames: format of the frames that it was made of; a side of odd length has a row or column more in it.
        magnify: magnifies a frame into a picture.
        writer: writes the pictures; it is done with in any case.
        is_hurried: asked before each frame; once it is True, those that are left count as dropped.
        told: text that says how it magnifies.

    Raises:
        Fault: the raw clip cannot be read, a frame not magnified, or the clip not written.
    """
    width_px, height_px = frames.size_px
    # The frame before may be the reference of the next step.
    ring = FrameRing(2, width_px=width_px, height_px=height_px)
    picture = FrameRing(1, width_px=width_px, height_px=height_px).frame(0)
    try:
        with closing(ClipCamera(directory / raw.file)) as camera:
            whole = FrameRing(1, width_px=camera.width_px, height_px=camera.height_px).frame(0)
            while (info := camera.read_into(whole)) is not None:
                if is_hurried():
                    break
                np.copyto(frame := ring.frame(info.sequence), whole[:height_px, :width_px])
                magnify(frame, picture, info.timestamp_s)
                writer.write(picture, info.timestamp_s)
        if not writer.frames:
            raise ended_before(clip_name(raw.event, "magnified"))
        nbytes = writer.publish().nbytes
    finally:
        writer.discard()
    return replace(
        raw,
        kind="magnified",
        file=clip_name(raw.event, "magnified"),
        frames=writer.frames,
        dropped=raw.dropped + raw.frames - writer.frames,
        nbytes=nbytes,
        detail="; ".join(filter(None, (told, "made after the event, of the raw clip"))),
    )
