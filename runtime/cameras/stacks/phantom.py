"""Phantom's Cine: a file of raw pictures with the rate, and the time of each.

Structures, little-endian and packed, after the maker's "Cine File Format" as public readers restate it (ottomatic-io/
pycine: cine.py, file.py, raw.py; FFmpeg: libavformat/cinedec.c): CINEFILEHEADER, BITMAPINFOHEADER, SETUP, tagged
blocks, a table of the pictures' addresses. A picture is an annotation, whose last four bytes are the pixels' size,
and the pixels. Rows of plain pixels lie bottom up, those of packed ones top down, and SETUP's bFlipV turns either.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.stacks.stack import (
    MOST_PIXELS,
    RawPicture,
    SizeCheck,
    packed_bytes,
    unpack_msb_first,
)
from tremorscope.runtime.errors import ClipFault

SUFFIXES = (".cine",)
_FILE_HEADER = struct.Struct("<2sHHHiIiIIIIII")
_BITMAP_HEADER = struct.Struct("<IiiHHIIiiII")
_MARK, _LENGTH, _FLIP_V, _RATE, _CFA, _REAL_BITS = 140, 142, 760, 768, 808, 896
"""Offsets within SETUP."""
_SETUP_BYTES = 900
_RATE_16 = struct.Struct("<H")
_PACKED = {256: 10, 1024: 12}
"""biCompression of packed pixels, and their bits."""
_TIMES = 1002
"""Type of the tagged block that holds a TIME64 for each picture."""
_TAG = struct.Struct("<IHH")
_OFF_RATE = 1e-3
"""Relative difference of the times' rate from the stated one that is told."""


class PhantomStack:
    """The pictures of one Cine file.

    Raises:
        ClipFault: it is damaged, cut short, or of a kind that cannot be measured in.
    """

    def __init__(self, path: Path) -> None:
        self._check = SizeCheck(path)
        self._path = path
        try:
            self._file = path.open("rb")
            self._size = path.stat().st_size
        except OSError as error:
            raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path") from None
        try:
            self._read_headers()
        except ClipFault:
            self._file.close()
            raise

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, (H, W) or (H, W, 3; RGB).

        Raises:
            ClipFault: it is cut short, or its size is not the one that the header states.
        """
        where = f"picture {number + 1}"
        start = int(self._addresses[number])
        (annotation,) = struct.unpack("<I", self._at(start, 4, where))
        if not 8 <= annotation <= self._size - start:
            raise self._check.fault(f"{where}: AnnotationSize", annotation, "beyond the file")
        (stated,) = struct.unpack("<I", self._at(start + annotation - 4, 4, where))
        if stated < self._picture_bytes:
            raise self._check.fault(f"{where}: ImageSize", stated, f"less than {self._picture_bytes}")
        data = np.frombuffer(self._at(start + annotation, self._picture_bytes, where), np.uint8)
        if self._packed:
            pixels: RawPicture = unpack_msb_first(data, self._packed, self.width_px * self.height_px)
        else:
            pixels = data.view("<u2") if self._wide else data
        colour = (3,) if self._colour else ()
        rows = pixels.reshape(self.height_px, -1)[:, : self.width_px * (3 if self._colour else 1)]
        stored = rows.reshape(self.height_px, self.width_px, *colour)
        upright = stored[::-1] if self._bottom_up else stored
        return upright[..., ::-1] if self._colour else upright  # blue comes first

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_headers(self) -> None:
        header = _FILE_HEADER.unpack(self._at(0, _FILE_HEADER.size, "CINEFILEHEADER"))
        kind, _, compression, version, _, _, _, frames, bitmap_at, setup_at, addresses_at, _, _ = header
        if kind != b"CI" or version > 1:
            raise ClipFault(
                f"{self._path}: is not a Cine file", remedy="name a recording of a Phantom camera"
            )
        self.frames = self._check.frames("ImageCount", frames)
        self._read_bitmap(_BITMAP_HEADER.unpack(self._at(bitmap_at, _BITMAP_HEADER.size, "BITMAPINFOHEADER")))
        setup = self._at(setup_at, _SETUP_BYTES, "SETUP")
        if setup[_MARK : _MARK + 2] != b"ST":
            raise self._check.fault("SETUP: Mark", setup[_MARK : _MARK + 2], "not 'ST'")
        self._read_setup(setup, compression)
        width = 8 if version else 4
        table = self._at(addresses_at, width * self.frames, f"the addresses of {self.frames} pictures")
        self._addresses = np.frombuffer(table, f"<u{width}")
        last = int(self._addresses.max()) + 8 + self._picture_bytes
        self._check.holds(self._path, last, f"{self.frames} frames of {self.width_px}x{self.height_px} px")
        length = int.from_bytes(setup[_LENGTH : _LENGTH + 2], "little")
        self._read_times(setup_at + length, addresses_at)

    def _read_bitmap(self, fields: tuple[int, ...]) -> None:
        _, width, height, _, bits, packing, *_ = fields
        self.width_px = self._check.side("biWidth", width)
        self.height_px = self._check.side("biHeight", abs(height))
        self._packed = _PACKED.get(packing, 0)
        self._wide, self._colour = bits in (16, 48), bits in (24, 48)
        if self.width_px * self.height_px > MOST_PIXELS:
            raise self._check.fault("biWidth", width, f"too much at a height of {self.height_px}")
        if packing and not self._packed:
            raise self._check.fault("biCompression", packing, "none of 0, 256 and 1024")
        if bits not in (8, 16, 24, 48) or (self._packed and self._colour):
            raise self._check.fault("biBitCount", bits, "none of 8, 16, 24 and 48")
        if self._packed:
            self._picture_bytes = packed_bytes(self._packed, self.width_px * self.height_px)
        else:
            # Rows of a bitmap are filled up to four bytes.
            self._picture_bytes = self.height_px * (-(-self.width_px * bits // 8 // 4) * 4)

    def _read_setup(self, setup: bytes, compression: int) -> None:
        def number(offset: int) -> int:
            return int.from_bytes(setup[offset : offset + 4], "little")

        if compression == 1:
            raise self._check.fault("Compression", compression, "JPEG of an old kind, which is not read")
        if compression == 2 and number(_CFA) & 0xFFFFFF:
            raise ClipFault(
                f"{self._path}: CFA: its pixels stand behind a colour filter, one colour each",
                remedy="interpolate them first: save it as an RGB Cine, or ffmpeg -i clip.cine -c:v ffv1 clip.mkv",
            )
        self._bottom_up = bool(number(_FLIP_V)) == bool(self._packed)
        rate = number(_RATE) or _RATE_16.unpack_from(setup)[0]
        self.rate_hz: float | None = self._check.rate("FrameRate", rate)
        stored = self._packed or (16 if self._wide else 8)
        stated = number(_REAL_BITS)
        self.bit_depth = stored if self._packed or not 8 <= stated <= stored else stated
        self.notes: tuple[str, ...] = ()
        if self._packed == 10:
            self.notes = (
                "10-bit packed: the camera's curve of brightness is kept, which displacement does not feel",
            )

    def _read_times(self, start: int, stop: int) -> None:
        """Look for the block of times among those between SETUP and the addresses."""
        self.times_s: NDArray[np.float64] | None = None
        while start + _TAG.size <= stop:
            size, kind, _ = _TAG.unpack(self._at(start, _TAG.size, "a tagged block"))
            if size < _TAG.size or start + size > stop:
                return
            if kind == _TIMES and size >= _TAG.size + 8 * self.frames:
                self._take_times(self._at(start + _TAG.size, 8 * self.frames, "the times"))
                return
            start += size

    def _take_times(self, block: bytes) -> None:
        # TIME64: fractions of 2**-32 s, whose two lowest bits are flags, and seconds since 1970.
        ticks = np.frombuffer(block, "<u8") & ~np.uint64(3)
        times_s = (ticks - ticks[0]).astype(np.int64) * 2.0**-32
        assert self.rate_hz is not None
        if self.frames < 2 or not (np.diff(times_s) > 0).all():
            if ticks.any() and self.frames > 1:
                self.notes += ("the pictures' times do not rise: the stated rate is taken",)
            return
        rate_hz = (self.frames - 1) / float(times_s[-1])
        if abs(rate_hz / self.rate_hz - 1) > _OFF_RATE:
            self.notes += (
                f"{self.rate_hz:g} frames/s are stated, and the pictures' times say {rate_hz:.6g}: these are taken",
            )
        self.times_s, self.rate_hz = times_s, rate_hz

    def _at(self, start: int, length: int, what: str) -> bytes:
        """Bytes of the file; checked against its size before any memory is taken.

        Raises:
            ClipFault: they lie beyond its end.
        """
        if start + length > self._size:
            raise ClipFault(
                f"{self._path}: cut short: {what} would end at byte {start + length}, and the file has {self._size}",
                remedy="copy it again from the camera",
            )
        file: BinaryIO = self._file
        file.seek(start)
        return file.read(length)
