"""Kinds of files that a result can be written into, by the name of the file: videos, and folders of pictures."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.filter import Graph
from numpy.typing import NDArray

from tremorscope.runtime.frames.frame import Colour


@dataclass(frozen=True)
class Container:
    """A kind of video file."""

    format: str
    """Muxer of FFmpeg."""
    codec: str = "libx264"
    """Encoder of the pictures; libx264 stands for H.264 by any encoder."""
    sounds: tuple[str, ...] | None = ()
    """Codecs of sound that it holds as they are; None for all, empty for none."""
    sound_codec: str = ""
    """Encoder for sound of another codec; empty where it holds no sound."""
    holds_aspect: bool = True
    """False where pixels are shown as squares."""
    tick: Fraction | None = None
    """Resolution of its times in seconds; None where it holds any."""
    fewest_ticks: int = 1
    """Ticks between two pictures below which players do not show them at their times."""


_MS = Fraction(1, 1000)
CONTAINERS = {
    ".mp4": Container("mp4", sounds=("aac", "mp3", "ac3", "eac3", "alac", "opus"), sound_codec="aac"),
    ".mkv": Container("matroska", sounds=None, sound_codec="libopus", tick=_MS),
    ".webm": Container("webm", "libvpx-vp9", ("opus", "vorbis"), "libopus", holds_aspect=False, tick=_MS),
    # Browsers show what is to be shown for less than 20 ms for 100 ms.
    ".gif": Container("gif", "gif", holds_aspect=False, tick=Fraction(1, 100), fewest_ticks=2),
}
NAMES = ".mp4, .mkv, .webm, .gif, or a folder for PNG pictures"
_PNG_HEADER = 33
"""Bytes of a PNG's signature and its first chunk, IHDR."""
_NUMBER = re.compile(r"%0?(\d*)d")


def container_of(path: Path) -> Container | None:
    """The kind of a video file by its name; None for other names."""
    return CONTAINERS.get(path.suffix.lower())


def pictures_of(path: Path) -> tuple[Path, str] | None:
    """Folder and name of numbered pictures, such as ``shot_%04d.png``, that an output names; None for other names.

    A name without a suffix is a folder, and so is a folder that exists.
    """
    if path.suffix.lower() == ".png" and len(_NUMBER.findall(path.name)) == 1:
        return path.parent, path.name
    if not path.suffix or (path.is_dir() and container_of(path) is None):
        return path, "%06d.png"
    return None


def name_pattern(name: str) -> re.Pattern[str]:
    """Pattern of the names of numbered pictures."""
    before, _, after = _NUMBER.split(name)
    return re.compile(rf"{re.escape(before)}\d+{re.escape(after)}")


def numbered(name: str, number: int) -> str:
    """Name of the picture of a number."""
    return _NUMBER.sub(lambda found: f"{number:0{int(found[1] or 1)}d}", name)


def converter(
    picture: NDArray[np.uint8], time_base: Fraction, colour: Colour, container: Container
) -> tuple[Graph, str]:
    """A filter graph from packed RGB to the pixels that a container's encoder takes, and their format.

    To yuv420p it goes with exact rounding and full chroma, in the clip's own range; to a GIF with a palette of each
    picture's own.
    """
    height_px, width_px = picture.shape[:2]
    graph = Graph()
    source = graph.add(
        "buffer",
        f"video_size={width_px}x{height_px}:pix_fmt=rgb24"
        f":time_base={time_base.numerator}/{time_base.denominator}:pixel_aspect=1/1",
    )
    sink = graph.add("buffersink")
    if container.codec == "gif":
        split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=single")
        use = graph.add("paletteuse", "new=1:dither=sierra2_4a")
        source.link_to(split)
        split.link_to(use, 0, 0)
        split.link_to(palette, 1, 0)
        palette.link_to(use, 0, 1)
        use.link_to(sink)
        graph.configure()
        return graph, "pal8"
    scale = graph.add(
        "scale",
        "flags=bilinear+accurate_rnd+full_chroma_int+full_chroma_inp"
        f":out_color_matrix={colour.scaler_name}:out_range={'pc' if colour.full_range else 'tv'}",
    )
    to_yuv = graph.add("format", "pix_fmts=yuv420p")
    source.link_to(scale)
    scale.link_to(to_yuv)
    to_yuv.link_to(sink)
    graph.configure()
    return graph, "yuv420p"


def png_coder(width_px: int, height_px: int, comment: str = "") -> Callable[[NDArray[np.uint8]], bytes]:
    """Coder of pictures, u8[H, W, 3] RGB, of one size as PNG files with a comment each."""
    told = b"iTXtComment" + 5 * b"\0" + comment.encode()
    chunk = struct.pack(">I", len(told) - 4) + told + struct.pack(">I", zlib.crc32(told))
    context: Any = av.CodecContext.create("png", "w")
    context.width, context.height, context.pix_fmt = width_px, height_px, "rgb24"
    context.time_base, context.thread_count = Fraction(1), 1  # one comes out for one that goes in
    context.options = {"compression_level": "3"}
    count = 0

    def code(picture: NDArray[np.uint8]) -> bytes:
        nonlocal count
        frame = av.VideoFrame.from_ndarray(picture, "rgb24")
        frame.pts = count
        count += 1
        coded = b"".join(bytes(packet) for packet in context.encode(frame))
        return coded[:_PNG_HEADER] + chunk + coded[_PNG_HEADER:]

    return code
