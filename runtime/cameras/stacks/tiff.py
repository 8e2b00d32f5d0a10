"""TIFF files: the pages of one file, or one picture of a sequence."""

from __future__ import annotations

import logging
import struct
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.stacks.stack import MOST_PIXELS, RawPicture, depth_of, spread
from tremorscope.runtime.errors import ClipFault

SUFFIXES = (".tif", ".tiff")
_OME_SECONDS = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "min": 60.0}
logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # faults are told once, in one line


class TiffStack:
    """The pages of a TIFF file, BigTIFF, OME-TIFF or ImageJ's; pixels of 8 to 16 bits, grey or RGB.

    Raises:
        ClipFault: it is damaged, or its pages are no pictures of one kind.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        import tifffile  # takes longer to import than a video to open

        self._path = path
        try:
            self._file = tifffile.TiffFile(path)
        except (tifffile.TiffFileError, ValueError, KeyError, struct.error, IndexError) as error:
            raise ClipFault(f"{path}: is not a TIFF file ({_short(error)})", remedy="copy it again") from None
        except OSError as error:
            raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path") from None
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
            if "imagecodecs" in str(error):
                return self._page_by_opencv(number, f"{where}: {_short(error)}")
            raise ClipFault(
                f"{self._path}: {where}: cannot be decoded ({_short(error)})", remedy="copy it again"
            ) from None

    def _page_by_opencv(self, number: int, problem: str) -> RawPicture:
        """A page that is compressed in a way, such as LZW, that tifffile needs another package for."""
        import cv2

        try:
            pages: Any = cv2.imreadmulti(str(self._path), number, 1, flags=cv2.IMREAD_UNCHANGED)[1]
            found: RawPicture = pages[0]
        except (IndexError, UnicodeError, cv2.error):
            found = np.empty(0, np.uint8)
        if self._planar or found.shape[:2] != (self.height_px, self.width_px) or found.dtype.kind != "u":
            raise ClipFault(f"{self._path}: {problem}", remedy="pip install imagecodecs")
        return found if found.ndim == 2 else found[..., 2::-1]  # blue comes first

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


def is_stack(path: Path) -> bool:
    """True for a TIFF file of several pages."""
    try:
        stack = TiffStack(path)
    except ClipFault:
        return False
    stack.close()
    return stack.frames > 1
