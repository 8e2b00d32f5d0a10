"""Image sequences: the pictures of a folder, of a pattern, or the pages of a TIFF file."""

from __future__ import annotations

import re
import struct
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.stacks import tiff
from tremorscope.runtime.cameras.stacks.stack import MOST_PIXELS, RawPicture, depth_of, spread
from tremorscope.runtime.cameras.stacks.tiff import TiffStack
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.host.files import file_address, natural_order

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".webp", *tiff.SUFFIXES)
_NUMBERS = re.compile(r"(\d+)")
_NUMBERED = re.compile(r"%(0\d+)?d")
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def is_pattern(path: Path) -> bool:
    """True for a name such as ``frames/*.png`` or ``frames/%04d.png`` that is no file itself."""
    return bool(set("*?[") & set(path.name) or _NUMBERED.search(path.name)) and not path.exists()


def find_pictures(path: Path) -> tuple[Path, ...]:
    """Pictures of a folder or a pattern in natural order.

    Raises:
        ClipFault: there is none, or a folder holds several kinds of them.
    """
    try:
        if path.is_dir():
            return _pictures_of(path)
        if not (numbered := _NUMBERED.search(path.name)):
            found = [each for each in path.parent.glob(path.name) if each.is_file()]
        else:
            before, after = path.name[: numbered.start()], path.name[numbered.end() :]
            name = re.compile(f"{re.escape(before)}\\d+{re.escape(after)}")
            found = [each for each in path.parent.iterdir() if name.fullmatch(each.name) and each.is_file()]
    except OSError as error:
        raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path") from None
    if not found:
        raise ClipFault(f"{path}: no picture has such a name", remedy="check the path and the pattern")
    return tuple(sorted(found, key=natural_order))


def holds_pictures(folder: Path) -> bool:
    """True for a folder of a sequence; the pictures among the results of a measurement are none."""
    names = [each.name for each in folder.iterdir()]
    count = sum(Path(name).suffix.lower() in PICTURE_SUFFIXES and name[0] != "." for name in names)
    return count > 1 and "summary.json" not in names


def _pictures_of(folder: Path) -> tuple[Path, ...]:
    found = [
        each
        for each in folder.iterdir()
        if each.suffix.lower() in PICTURE_SUFFIXES and not each.name.startswith(".") and each.is_file()
    ]
    kinds = Counter(each.suffix.lower() for each in found)
    if not kinds:
        raise ClipFault(
            f"{folder}: is a directory without pictures",
            remedy=f"name a clip, or a folder of {', '.join(PICTURE_SUFFIXES)}",
        )
    if len(kinds) > 1:
        counts = ", ".join(f"{count} {suffix}" for suffix, count in kinds.most_common())
        raise ClipFault(
            f"{folder}: holds pictures of several kinds ({counts})",
            remedy=f"name those that belong together, e.g. '{folder}/*{kinds.most_common(1)[0][0]}'",
        )
    return tuple(sorted(found, key=natural_order))


class PictureSequence:
    """Pictures in files of their own.

    Where names are numbered and a few numbers are missing, so are frames: the others keep their places in time.

    Raises:
        ClipFault: there are none, or the first cannot be read.
    """

    rate_hz: float | None = None

    def __init__(self, path: Path) -> None:
        self._files = find_pictures(path)
        self.frames = len(self._files)
        self.places, missing = _places(self._files)
        first = read_picture(self._files[0])
        self.height_px, self.width_px = first.shape[:2]
        deep = first.dtype == np.uint16
        self.bit_depth, self.white = depth_of(
            (read_picture(self._files[number]) for number in spread(self.frames)) if deep else [first]
        )
        self.notes: tuple[str, ...] = ()
        if missing:
            self.notes = (
                f"{missing} of {missing + self.frames} numbered pictures are missing: they count as lost frames",
            )

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, (H, W) or (H, W, 3; RGB)."""
        return read_picture(self._files[number])

    def close(self) -> None:
        """Nothing stays open."""


def _places(files: tuple[Path, ...]) -> tuple[NDArray[np.int64] | None, int]:
    """Places of pictures in time by their numbers, and how many are missing; None where they follow each other."""
    split = [_NUMBERS.split(each.stem) for each in files]
    if len(files) < 3 or any(len(each) < 2 or each[:-2] != split[0][:-2] for each in split):
        return None, 0
    numbers = np.array([int(each[-2][-18:]) for each in split])
    steps = np.diff(numbers)
    usual = int(np.median(steps))
    if usual < 1 or (steps == usual).all() or (steps % usual).any() or (steps == usual).mean() < 0.8:
        return None, 0
    places = (numbers - numbers[0]) // usual
    return places, int(places[-1]) + 1 - len(files)


def read_picture(path: Path) -> RawPicture:
    """One picture, (H, W) or (H, W, 3; RGB), u8 or u16.

    Raises:
        ClipFault: it cannot be read.
    """
    if path.suffix.lower() in tiff.SUFFIXES:
        with closing(TiffStack(path)) as stack:
            return np.array(stack.picture(0))
    return _decode(path)


def _decode(path: Path) -> RawPicture:
    """A picture by FFmpeg; alpha is left out, and a palette is resolved."""
    try:
        _check_header(path)
        with av.open(file_address(path)) as container:
            frame: Any = next(container.decode(video=0))
            if frame.format.name in ("gray", "gray8", "rgb24") or frame.format.name.startswith("gray16"):
                found: RawPicture = frame.to_ndarray()
                return found
            component = frame.format.components[0]
            grey = "gray" in frame.format.name or frame.format.name.startswith("ya")
            wanted = (
                ("gray16le" if grey else "rgb48le") if component.bits > 8 else ("gray" if grey else "rgb24")
            )
            converted: RawPicture = frame.to_ndarray(format=wanted)
            return converted
    except (av.FFmpegError, StopIteration, ValueError):
        raise ClipFault(
            f"{path}: cannot be read as a picture", remedy="copy it again, or leave it out"
        ) from None
    except OSError as error:
        raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path") from None


def _check_header(path: Path) -> None:
    """Refuse a PNG whose header states more pixels than any camera has, before they are allocated."""
    with path.open("rb") as file:
        head = file.read(24)
    if head[:8] == _PNG_MAGIC and len(head) == 24:
        width_px, height_px = struct.unpack(">II", head[16:])
        if not 0 < width_px * height_px <= MOST_PIXELS:
            raise ClipFault(
                f"{path}: IHDR: {width_px}x{height_px} px is no size of a picture",
                remedy="copy it again, or leave it out",
            )
