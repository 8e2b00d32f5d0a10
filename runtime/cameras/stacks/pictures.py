"""Image sequences: the pictures of a folder, of a pattern, or the pages of a TIFF file."""

from __future__ import annotations

import logging
import re
import struct
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import av
import numpy as np
import tifffile
from numpy.typing import NDArray

from tremorscope.runtime.cameras.stacks.stack import MOST_PIXELS, RawPicture, depth_of, spread
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.host.files import file_address

TIFF_SUFFIXES = (".tif", ".tiff")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", *TIFF_SUFFIXES)
_NUMBERS = re.compile(r"(\d+)")
_NUMBERED = re.compile(r"%(0\d+)?d")
_OME_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "min": 60.0}
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # faults are told once, in one line
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"


def natural_order(path: Path) -> tuple[tuple[int, int, str], ...]:
    """Key to sort names by, in which ``shot10`` comes after ``shot9``."""
    parts = _NUMBERS.split(path.name)
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part
    )


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
        raise ClipFault(
            f"{path}: {(error.strerror or str(error)).lower()}", remedy="check the path"
        ) from None
    if not found:
        raise ClipFault(f"{path}: no picture has such a name", remedy="check the path and the pattern")
    return tuple(sorted(found, key=natural_order))


def holds_pictures(folder: Path) -> bool:
    """True for a folder of a sequence; the pictures among the results of a measurement are none."""
    names = [each.name for each in folder.iterdir()]
    count = sum(Path(name).suffix.lower() in PICTURE_SUFFIXES and name[0] != "." for name in names)
    return count > 1 and "summary.json" not in names


def is_stack(path: Path) -> bool:
    """True for a TIFF file of several pages."""
    try:
        stack = TiffStack(path)
    except ClipFault:
        return False
    stack.close()
    return stack.frames > 1


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
    if path.suffix.lower() in TIFF_SUFFIXES:
        stack = TiffStack(path)
        try:
            return np.array(stack.picture(0))
        finally:
            stack.close()
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
        raise ClipFault(
            f"{path}: {(error.strerror or str(error)).lower()}", remedy="check the path"
        ) from None


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


class TiffStack:
    """The pages of a TIFF file, BigTIFF, OME-TIFF or ImageJ's; pixels of 8 to 16 bits, grey or RGB.

    Raises:
        ClipFault: it is damaged, or its pages are no pictures of one kind.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, ValueError, KeyError, struct.error, IndexError) as error:
            raise ClipFault(f"{path}: is not a TIFF file ({_short(error)})", remedy="copy it again") from None
        except OSError as error:
            raise ClipFault(
                f"{path}: {(error.strerror or str(error)).lower()}", remedy="check the path"
            ) from None
        try:
            self._look()
        except ClipFault:
            self.close()
            raise
        except Exception as error:  # a damaged directory of tags can fail anywhere in the library
            self.close()
            raise ClipFault(f"{path}: damaged: {_short(error)}", remedy="copy it again") from None

    def _look(self) -> None:
        page: Any = self._file.pages.first
        self._planar = page.axes == "SYX"  # one whole picture for each colour
        shape = (*page.shape[1:], page.shape[0]) if self._planar else tuple(page.shape)
        self.height_px, self.width_px = shape[:2] if len(shape) > 1 else (1, 1)
        pixels = self.height_px * self.width_px
        if (
            len(shape) not in (2, 3)
            or (len(shape) == 3 and shape[2] not in (1, 3, 4))
            or pixels > MOST_PIXELS
        ):
            raise self._refusal(f"ImageWidth, ImageLength, SamplesPerPixel: pages of {shape} are no pictures")
        if page.dtype is None or page.dtype.kind != "u" or page.dtype.itemsize > 2:
            raise self._refusal(f"BitsPerSample: pixels of type {page.dtype or page.bitspersample}")
        series: Any = self._file.series[0]
        pages = len(self._file.pages)
        stored = int(np.prod(series.shape, dtype=object)) // (pixels * (shape[2] if len(shape) == 3 else 1))
        # ImageJ writes one directory for a stack over 4 GB: its pictures follow each other without.
        self._stack = None
        if pages == 1 and stored > 1 and series.dataoffset is not None:
            needed = int(series.dataoffset) + stored * int(page.nbytes)
            if self._path.stat().st_size < needed:
                raise self._refusal(f"cut short: {stored} pictures need {needed} bytes")
            kind = np.dtype(self._file.byteorder + page.dtype.char)
            self._stack = np.memmap(self._path, kind, "r", int(series.dataoffset), (stored, *page.shape))
        self.frames = stored if self._stack is not None else pages
        self.rate_hz = self._rate()
        self.bit_depth, self.white = 8, 255
        if page.dtype.itemsize == 2:
            self.bit_depth, self.white = depth_of(self.picture(number) for number in spread(self.frames))

    def picture(self, number: int) -> RawPicture:
        """Page ``number``, (H, W) or (H, W, 3; RGB).

        Raises:
            ClipFault: it cannot be decoded.
        """
        if self._stack is not None:
            found: RawPicture = self._stack[number]
        else:
            found = self._page(number)
        if self._planar:
            found = np.moveaxis(found, 0, -1)
        if found.ndim == 3:
            found = found[..., 0] if found.shape[2] == 1 else found[..., :3]
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _page(self, number: int) -> RawPicture:
        where = f"page {number + 1}"
        try:
            page: Any = self._file.pages[number].aspage()
            if page.imagewidth != self.width_px or page.imagelength != self.height_px:
                raise self._refusal(
                    f"{where}: ImageWidth, ImageLength: {page.imagewidth}x{page.imagelength} px"
                )
            if page.compression == 1 and sum(page.databytecounts) < page.nbytes:
                raise self._refusal(
                    f"{where}: StripByteCounts: {page.imagewidth}x{page.imagelength} px need {page.nbytes} bytes"
                )
            if max(page.dataoffsets) + min(page.databytecounts) > self._path.stat().st_size:
                raise self._refusal(f"{where}: StripOffsets: cut short")
            found: RawPicture = page.asarray()
            return found
        except ClipFault:
            raise
        except Exception as error:  # codecs raise errors of many kinds
            if "imagecodecs" in str(error) and self.frames == 1:
                return _decode(self._path)  # FFmpeg knows LZW, but reads first pages only
            remedy = "pip install imagecodecs" if "imagecodecs" in str(error) else "copy it again"
            raise ClipFault(
                f"{self._path}: {where}: cannot be decoded ({_short(error)})", remedy=remedy
            ) from None

    def _rate(self) -> float | None:
        """Frames a second as ImageJ (``fps``, ``finterval``) or OME (``TimeIncrement``) states them."""
        imagej: Any = self._file.imagej_metadata or {}
        rate = imagej.get("fps")
        if not rate and imagej.get("finterval"):
            rate = 1 / float(imagej["finterval"])
        if not rate and self._file.is_ome and (ome := self._file.ome_metadata):
            for node in ElementTree.fromstring(ome).iter():
                step = float(node.get("TimeIncrement") or 0)
                if step:
                    rate = 1 / (step * _OME_SECONDS.get(node.get("TimeIncrementUnit", "s"), 1.0))
        if not rate and self._file.shaped_metadata:
            rate = self._file.shaped_metadata[0].get("fps")  # what tifffile itself writes
        return float(rate) if rate and 0 < float(rate) < 1e9 else None

    def _refusal(self, what: str) -> ClipFault:
        return ClipFault(
            f"{self._path}: {what}", remedy="save pages of one size in 8 or 16 bits, grey or RGB"
        )


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
