"""A recorded clip as a camera: every frame of any video that FFmpeg decodes, at the times the file states."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from tremorscope.runtime.cameras.intactness import ContainerStructure, inspect_clip
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.colour import Colour, describe
from tremorscope.runtime.frames.copies import CopyAccount, copy_pixels
from tremorscope.runtime.frames.info import FrameInfo

MINIMUM_SIDE_PX = 16
_RANGES = {1: "tv", 2: "pc"}
_FORMATS = "MP4, MOV, AVI, MKV or another video that FFmpeg reads"


class ClipCamera:
    """Reads a clip's frames in order as RGB, upright, with their presentation times, in constant memory.

    Grey, 10-bit and subsampled pictures are converted straight to 8-bit RGB by the matrix and the range that
    the clip states; a picture that was filmed turned is turned upright.
    """

    def __init__(self, path: Path, *, account: CopyAccount | None = None) -> None:
        """Open a clip and check that it is whole.

        Args:
            path: the clip.
            account: takes note of the one copy from the decoder's memory.

        Raises:
            ClipFault: it is missing, not a video, too small, or cut short.
        """
        self.path = path
        self._quoted = shlex.quote(str(path))
        self._account = account
        self._structure = inspect_clip(path)
        self._container = _open(path, self._structure)
        try:
            self._stream = _video_stream(path, self._container)
            if self._structure.missing_bytes:
                raise self._cut_short()
            decoded = self._decode()
            first = next(decoded, None)
            if first is None:
                raise ClipFault(f"{path}: holds no frame", remedy=f"name a video clip: {_FORMATS}")
            self._layout = _layout_of(path, first, self._stream)
            self.time_base = Fraction(self._stream.time_base)
            """Seconds a tick: every ``timestamp_s`` is a whole number of these."""
            self._converter = _converter_to_rgb(path, first, self.time_base, self._layout.colour)
        except ClipFault:
            self._container.close()
            raise
        self._frames = chain([first], decoded)
        self._rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or 25)
        self.has_timestamps = first.pts is not None
        """False where the file has none (a raw stream): frames are then taken as evenly spaced."""
        self._sequence = 0
        self._previous_ticks: int | None = None

    @property
    def width_px(self) -> int:
        """Width of every frame in pixels, turned upright."""
        return self._layout.width_px

    @property
    def height_px(self) -> int:
        """Height of every frame in pixels, turned upright."""
        return self._layout.height_px

    @property
    def nominal_rate_hz(self) -> float:
        """Frames a second as the container states them: of a high-speed clip often the playback rate."""
        return float(self._rate)

    @property
    def frame_count_estimate(self) -> int | None:
        """Number of frames that the container announces, for a progress display; None where it states none."""
        stream: Any = self._stream
        if stream.frames:
            return int(stream.frames)
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            return None
        if stream.duration and stream.time_base:
            return int(stream.duration * stream.time_base * rate + 0.5)
        if self._container.duration:
            return int(Fraction(self._container.duration, av.time_base) * rate + 0.5)
        return None

    @property
    def colour(self) -> Colour:
        """Matrix, primaries and transfer of the clip."""
        return self._layout.colour

    @property
    def pixel_aspect(self) -> Fraction:
        """Width over height of one pixel, turned upright; 1 for square pixels."""
        return self._layout.pixel_aspect

    def read_into(self, pixels: NDArray[np.uint8]) -> FrameInfo | None:
        """Write the next frame into ``pixels``, u8[H, W, 3] RGB, and return its data, or None at the end.

        Raises:
            ClipFault: a frame is damaged or lost, changes its size, or its time runs backwards.
        """
        frame = next(self._frames, None)
        if frame is None:
            return None
        self._convert(frame, pixels)
        ticks = frame.pts if self.has_timestamps else round(self._sequence / self._rate / self.time_base)
        if ticks is None or (self._previous_ticks is not None and ticks <= self._previous_ticks):
            raise ClipFault(
                f"{self.path}: frame {self._sequence + 1} has no time later than the frame before it",
                remedy=f"space the frames evenly: ffmpeg -i {self._quoted} -vf setpts=N/FRAME_RATE/TB repaired.mp4",
            )
        info = FrameInfo(sequence=self._sequence, timestamp_s=float(ticks * self.time_base))
        self._previous_ticks = ticks
        self._sequence += 1
        return info

    def close(self) -> None:
        """Close the file; closing twice is harmless."""
        self._container.close()

    def _convert(self, frame: Any, pixels: NDArray[np.uint8]) -> None:
        if _storage(frame) != self._layout.storage:
            raise ClipFault(
                f"{self.path}: the picture changes from {self._layout.storage} to {_storage(frame)} "
                f"at frame {self._sequence + 1}",
                remedy=f"make it uniform: ffmpeg -i {self._quoted} uniform.mp4",
            )
        self._converter.push(frame)
        converted: Any = self._converter.pull()
        plane = converted.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        stored = rows[: frame.height, : 3 * frame.width].reshape(frame.height, frame.width, 3)
        upright = np.rot90(stored, self._layout.quarter_turns)
        copy_pixels(upright, pixels, self._account, "camera: decoded picture")

    def _decode(self) -> Iterator[Any]:
        """Every frame in order of presentation; raises ClipFault where one is damaged."""
        decoded = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    raise self._damaged(decoded)
                for frame in packet.decode():
                    if frame.is_corrupt:
                        raise self._damaged(decoded)
                    yield frame
                    decoded += 1
        except av.FFmpegError:
            raise self._damaged(decoded) from None

    def _damaged(self, decoded: int) -> ClipFault:
        announced = self.frame_count_estimate
        of_announced = f" of {announced}" if announced else ""
        return ClipFault(
            f"{self.path}: damaged: frame {decoded + 1}{of_announced} cannot be decoded",
            remedy=f"copy it again from the camera, or keep what can be read: "
            f"ffmpeg -i {self._quoted} -crf 10 repaired.mp4",
        )

    def _cut_short(self) -> ClipFault:
        readable = 0
        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:
                    break
                readable += packet.size > 0
        except av.FFmpegError:
            pass  # reading fails where the file ends: what came before it counts
        announced = self.frame_count_estimate or "an unknown number of"
        return ClipFault(
            f"{self.path}: cut short: {readable} of {announced} frames are readable, "
            f"{self._structure.missing_bytes} bytes are missing",
            remedy=f"copy it again from the camera, or keep what can be read: "
            f"ffmpeg -i {self._quoted} -c copy repaired.mp4",
        )


def _open(path: Path, structure: ContainerStructure) -> Any:
    not_a_video = ClipFault(f"{path}: is not a video", remedy=f"name a video clip: {_FORMATS}")
    no_index = ClipFault(
        f"{path}: cut short: 0 frames are readable, because the index of the recording (moov) is missing",
        remedy="copy it again from the camera, and let the camera finish a recording before its power goes",
    )
    if not structure.has_index:
        raise no_index
    try:
        container = _open_container(path)
    except (av.FFmpegError, OSError):
        raise (no_index if structure.missing_bytes else not_a_video) from None
    # FFmpeg renders text files as pictures of a terminal.
    if container.format.name == "tty":
        container.close()
        raise not_a_video
    return container


def _open_container(path: Path) -> Any:
    opening: Any = av.open  # its keywords differ between releases
    try:
        return opening(str(path))
    except UnicodeDecodeError:  # PyAV before 19 insists that titles and comments be UTF-8
        return opening(str(path), metadata_encoding="latin-1")


def _video_stream(path: Path, container: Any) -> Any:
    """The first video stream; attached pictures, such as an album's cover, do not count."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    raise ClipFault(f"{path}: holds no video", remedy=f"name a video clip: {_FORMATS}")


def _storage(frame: Any) -> str:
    return f"{frame.width}x{frame.height} {frame.format.name}"


@dataclass(frozen=True)
class _Layout:
    """Size, orientation and colour of every frame of a clip, read from the first."""

    storage: str
    width_px: int
    height_px: int
    quarter_turns: int
    """Quarter turns, counter-clockwise, from the stored picture to the upright one."""
    pixel_aspect: Fraction
    colour: Colour


def _layout_of(path: Path, frame: Any, stream: Any) -> _Layout:
    turns, remainder = divmod(round(frame.rotation), 90)
    if remainder:
        raise ClipFault(
            f"{path}: is to be shown turned by {frame.rotation} degrees",
            remedy=f"turn it first: ffmpeg -i {shlex.quote(str(path))} turned.mp4",
        )
    width_px, height_px = frame.width, frame.height
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if turns % 2:
        width_px, height_px, aspect = height_px, width_px, 1 / aspect
    side_px = min(width_px, height_px)
    if side_px < MINIMUM_SIDE_PX:
        raise ClipFault(
            f"{path}: {width_px}x{height_px} px is too small",
            remedy=f"use a clip of at least {MINIMUM_SIDE_PX}x{MINIMUM_SIDE_PX} px",
        )
    context = stream.codec_context
    colour = describe(
        int(frame.colorspace), int(context.color_primaries), int(context.color_trc), height_px=side_px
    )
    return _Layout(_storage(frame), width_px, height_px, turns % 4, aspect, colour)


def _converter_to_rgb(path: Path, frame: Any, time_base: Fraction, colour: Colour) -> Graph:
    """A filter graph from the clip's pixels to packed 8-bit RGB, with exact rounding and full chroma."""
    graph = Graph()
    source = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}"
        f":time_base={time_base.numerator}/{time_base.denominator}:pixel_aspect=1/1",
    )
    stated_range = _RANGES.get(int(frame.color_range))
    scale = graph.add(
        "scale",
        "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp:out_range=pc"
        f":in_color_matrix={colour.scaler_name}" + (f":in_range={stated_range}" if stated_range else ""),
    )
    to_rgb, sink = graph.add("format", "pix_fmts=rgb24"), graph.add("buffersink")
    source.link_to(scale)
    scale.link_to(to_rgb)
    to_rgb.link_to(sink)
    try:
        graph.configure()
    except av.FFmpegError:
        raise ClipFault(
            f"{path}: pictures of format {frame.format.name} cannot be read",
            remedy=f"convert it: ffmpeg -i {shlex.quote(str(path))} -pix_fmt yuv420p converted.mp4",
        ) from None
    return graph
