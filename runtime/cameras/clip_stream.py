"""The video stream of a clip: opening it, choosing it, and the layout, orientation and colour of its pictures."""

from __future__ import annotations

import shlex
import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from tremorscope.runtime.cameras.intactness import ContainerStructure
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.buffers import CopyAccount, copy_pixels
from tremorscope.runtime.frames.frame import Colour, describe_colour
from tremorscope.runtime.host.files import file_address

Number = TypeVar("Number", bound=np.generic)

MINIMUM_SIDE_PX = 16
MOST_PIXELS = 2**26
"""Pixels of a video's picture that are decoded: twice as many as 8K has."""
FORMATS = "MP4, MOV, AVI, MKV or another video that FFmpeg reads"
_RANGES = {1: "tv", 2: "pc"}
_UPRIGHT = (1, 0, 0, 1)


def open_clip(path: Path, structure: ContainerStructure) -> Any:
    """Open the container of a clip.

    Raises:
        ClipFault: it is not a video, is of a kind that FFmpeg does not read, or lacks its index.
    """
    not_a_video = ClipFault(f"{path}: is not a video", remedy=f"name a video clip: {FORMATS}")
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
    if structure.family == "animated WebP" and container.format.name == "webp_pipe":
        container.close()
        save = f"mkdir -p frames && convert {shlex.quote(str(path))} -coalesce frames/%04d.png"
        raise ClipFault(
            f"{path}: is an animated WebP, which FFmpeg does not read",
            remedy=f"save its pictures: {save}, and name frames/",
        )
    return container


def _open_container(path: Path) -> Any:
    opening: Any = av.open  # its keywords differ between releases
    try:
        return opening(file_address(path))
    except UnicodeDecodeError:  # PyAV before 19 insists that titles and comments be UTF-8
        return opening(file_address(path), metadata_encoding="latin-1")


def choose_stream(path: Path, container: Any) -> tuple[Any, str]:
    """The video stream to read, and a note where there were several: the default one, of several the largest.

    Attached pictures, such as an album's cover, do not count, nor stills beside a video, as in an animated AVIF.

    Raises:
        ClipFault: there is none, or its pictures are too large.
    """
    flags = av.stream.Disposition
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & flags.attached_pic and stream.codec_context is not None
    ]
    if not streams:
        raise ClipFault(f"{path}: holds no video", remedy=f"name a video clip: {FORMATS}")

    if any(each.frames != 1 for each in streams):
        streams = [each for each in streams if each.frames != 1]

    def rank(stream: Any) -> tuple[bool, int]:
        return bool(stream.disposition & flags.default), stream.width * stream.height

    best = max(streams, key=rank)
    if best.width * best.height > MOST_PIXELS:
        raise ClipFault(
            f"{path}: {best.width}x{best.height} px is too large: a decoder would take gigabytes",
            remedy=f"cut out what moves: ffmpeg -i {shlex.quote(str(path))} -vf crop=4096:2160:X:Y -crf 10 cropped.mp4",
        )
    # The header may say less than the pictures do.
    best.codec_context.options = {**best.codec_context.options, "max_pixels": str(MOST_PIXELS)}
    if len(streams) == 1:
        return best, ""
    why = "the default one" if rank(best)[0] and not all(rank(each)[0] for each in streams) else "the largest"
    number = streams.index(best) + 1
    return (
        best,
        f"{len(streams)} video streams: number {number} is read, {why}, {best.width}x{best.height} px",
    )


@dataclass(frozen=True)
class StreamLayout:
    """Size, orientation and colour of every frame of a clip, read from the first."""

    storage: str
    width_px: int
    height_px: int
    matrix: tuple[int, int, int, int]
    """Signs a, b, c, d of the display matrix: the stored pixel (x, y) is shown at (ax + cy, bx + dy)."""
    pixel_aspect: Fraction
    colour: Colour

    def upright(self, stored: NDArray[Number]) -> NDArray[Number]:
        """A view of a stored picture, (H, W) or (H, W, 3), turned and mirrored as it is to be shown."""
        a, b, c, d = self.matrix
        turned = stored.swapaxes(0, 1) if b else stored
        return turned[:: -1 if b < 0 or d < 0 else 1, :: -1 if a < 0 or c < 0 else 1]


def storage_of(frame: Any) -> str:
    """Size and pixel format as they are stored."""
    return f"{frame.width}x{frame.height} {frame.format.name}"


def layout_of(path: Path, frame: Any, stream: Any) -> StreamLayout:
    """The layout of a clip's frames, from the first of them.

    Raises:
        ClipFault: they are too small, or to be shown at a slant.
    """
    matrix = _display_matrix(path, frame)
    width_px, height_px = frame.width, frame.height
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    if matrix[1]:
        width_px, height_px, aspect = height_px, width_px, 1 / aspect
    side_px = min(width_px, height_px)
    if side_px < MINIMUM_SIDE_PX:
        raise ClipFault(
            f"{path}: {width_px}x{height_px} px is too small",
            remedy=f"use a clip of at least {MINIMUM_SIDE_PX}x{MINIMUM_SIDE_PX} px",
        )
    context = stream.codec_context
    # Pixels in RGB or grey are of full range by their nature, and are written as most videos are.
    coded = not frame.format.is_rgb and len(frame.format.components) > 2
    colour = describe_colour(
        int(frame.colorspace),
        int(context.color_primaries),
        int(context.color_trc),
        height_px=side_px,
        full_range=coded and _RANGES.get(int(frame.color_range)) == "pc",
    )
    colour = replace(colour, mastering=_mastering(frame))
    return StreamLayout(storage_of(frame), width_px, height_px, matrix, aspect, colour)


def _mastering(frame: Any) -> str:
    """FFmpeg's AVMasteringDisplayMetadata (ten rationals, of which the flags tell) and AVContentLightMetadata."""
    display, light = (
        frame.side_data.get(name) for name in ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL")
    )
    told = []
    if display is not None:
        *rationals, has_primaries, has_luminance = struct.unpack_from("=22i", bytes(display))
        if has_primaries and has_luminance and all(rationals[1::2]):
            values = [Fraction(*pair) for pair in zip(rationals[::2], rationals[1::2], strict=True)]
            red, green, blue, white = (
                f"({round(50_000 * values[at])},{round(50_000 * values[at + 1])})" for at in (0, 2, 4, 6)
            )
            least, most = (round(10_000 * each) for each in values[8:])
            told.append(f"mastering-display=G{green}B{blue}R{red}WP{white}L({most},{least})")
    if light is not None:
        told.append("cll={},{}".format(*struct.unpack_from("=2I", bytes(light))))
    return ":".join(told)


def _display_matrix(path: Path, frame: Any) -> tuple[int, int, int, int]:
    """Signs a, b, c, d of the matrix (ISO/IEC 14496-12, 8.3.2); FFmpeg keeps nine numbers of 32 bits of it."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return _UPRIGHT
    a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
    largest = max(map(abs, (a, b, c, d)))
    if largest == 0:
        return _UPRIGHT
    signs = tuple(round(each / largest) for each in (a, b, c, d))
    if tuple(map(abs, signs)) not in ((1, 0, 0, 1), (0, 1, 1, 0)):
        raise ClipFault(
            f"{path}: is to be shown turned by {frame.rotation} degrees",
            remedy=f"turn it first: ffmpeg -i {shlex.quote(str(path))} turned.mp4",
        )
    return signs[0], signs[1], signs[2], signs[3]


class FrameConverter:
    """Decoded pictures of a clip as upright RGB or luma, of full range, with exact rounding and full chroma."""

    def __init__(
        self, path: Path, first: Any, time_base: Fraction, layout: StreamLayout, account: CopyAccount | None
    ) -> None:
        """Prepare.

        Args:
            path: the clip, for messages.
            first: its first frame.
            time_base: of the frames.
            layout: of the frames.
            account: takes note of the copy to RGB.

        Raises:
            ClipFault: pixels of that format cannot be converted.
        """
        self._path, self._first, self._time_base = path, first, time_base
        self._layout, self._account = layout, account
        self._to_rgb = self._graph("rgb24")
        self._to_luma: Graph | None = None

    def to_rgb(self, frame: Any, pixels: NDArray[np.uint8]) -> None:
        """Write a decoded picture into ``pixels``, (H, W, 3)."""
        plane = _first_plane(self._to_rgb, frame)
        rows = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        stored = rows[: frame.height, : 3 * frame.width].reshape(frame.height, frame.width, 3)
        copy_pixels(self._layout.upright(stored), pixels, self._account, "camera: decoded picture")

    def to_luma(self, frame: Any, luma: NDArray[np.float32]) -> None:
        """Write a decoded picture's luma into ``luma``, (H, W), in grey levels of 0 to 255 with their fractions."""
        self._to_luma = self._to_luma or self._graph("gray16le")
        plane = _first_plane(self._to_luma, frame)
        stored = np.frombuffer(plane, "<u2").reshape(-1, plane.line_size // 2)[: frame.height, : frame.width]
        np.multiply(self._layout.upright(stored), np.float32(255 / 65535), out=luma)

    def _graph(self, pixel_format: str) -> Graph:
        """A filter graph from the clip's pixels to others."""
        graph = Graph()
        source = graph.add(
            "buffer",
            f"video_size={self._first.width}x{self._first.height}:pix_fmt={self._first.format.name}"
            f":time_base={self._time_base.numerator}/{self._time_base.denominator}:pixel_aspect=1/1",
        )
        stated_range = _RANGES.get(int(self._first.color_range))
        scale = graph.add(
            "scale",
            "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp:out_range=pc"
            f":in_color_matrix={self._layout.colour.scaler_name}"
            + (f":in_range={stated_range}" if stated_range else ""),
        )
        chosen, sink = graph.add("format", f"pix_fmts={pixel_format}"), graph.add("buffersink")
        source.link_to(scale)
        scale.link_to(chosen)
        chosen.link_to(sink)
        try:
            graph.configure()
        except av.FFmpegError:
            raise ClipFault(
                f"{self._path}: pictures of format {self._first.format.name} cannot be read",
                remedy=f"convert it: ffmpeg -i {shlex.quote(str(self._path))} -pix_fmt yuv420p converted.mp4",
            ) from None
        return graph


def _first_plane(graph: Graph, frame: Any) -> Any:
    """The first plane of a frame behind a filter graph."""
    graph.push(frame)
    return graph.pull().planes[0]
