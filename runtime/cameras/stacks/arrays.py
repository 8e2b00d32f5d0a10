"""Numpy's .npy and .npz: an array (T, H, W) or (T, H, W, 3; RGB) of u8 or u16."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from tremorscope.runtime.cameras.stacks.stack import MOST_PIXELS, RawPicture, SizeCheck, depth_of, spread
from tremorscope.runtime.errors import ClipFault

SUFFIXES = (".npy", ".npz")
_RATES = ("rate_hz", "fps")
"""Members of an .npz that state the rate of capture."""
_REMEDY = "save an array (frames, height, width) or (frames, height, width, 3) of uint8 or uint16"
_LONGEST_SCALAR = 4096

Header = tuple[tuple[int, ...], bool, np.dtype]
"""Shape, order (True for Fortran's) and type of an array."""


class ArrayStack:
    """An array of pictures, read one by one however large the file is.

    Args:
        path: a .npy, or an .npz with one array of pictures and, if it likes, their rate as ``rate_hz`` or ``fps``.

    Raises:
        ClipFault: it is damaged, or holds no pictures.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._check = path, SizeCheck(path)
        self._archive: zipfile.ZipFile | None = None
        self._member: IO[bytes] | None = None
        self.rate_hz: float | None = None
        try:
            if path.suffix.lower() == ".npz":
                self._open_member(zipfile.ZipFile(path))
            else:
                self._map()
            self.bit_depth, self.white = 8, 255
            if self._kind.itemsize == 2:
                self.bit_depth, self.white = depth_of(self.picture(number) for number in spread(self.frames))
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            self.close()
            problem = (str(error).splitlines() or ["?"])[0][:100]
            raise ClipFault(f"{path}: cannot be read as an array ({problem})", remedy=_REMEDY) from None
        except ClipFault:
            self.close()
            raise

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, (H, W) or (H, W, 3; RGB).

        Raises:
            ClipFault: its bytes are damaged.
        """
        if self._member is None:
            mapped: RawPicture = self._array[number]
            return mapped
        count = int(np.prod(self._shape)) * self._kind.itemsize
        try:
            self._member.seek(self._data_at + number * count)
            data = self._member.read(count)
        except (OSError, EOFError, zipfile.BadZipFile) as error:
            raise ClipFault(
                f"{self._path}: frame {number + 1}: damaged ({error})", remedy="copy it again"
            ) from None
        found: RawPicture = np.frombuffer(data, self._kind).reshape(self._shape)
        return found

    def close(self) -> None:
        """Close the file."""
        for each in (self._member, self._archive):
            if each is not None:
                each.close()

    def _map(self) -> None:
        with self._path.open("rb") as file:
            shape, fortran, kind = _read_array_header(file)
            start = file.tell()
        self._take(shape, kind)
        needed = start + int(np.prod(shape, dtype=object)) * kind.itemsize
        self._check.holds(self._path, needed, f"pictures of shape {shape}")
        self._array = np.memmap(self._path, kind, "r", start, shape, "F" if fortran else "C")

    def _open_member(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        pictures: list[tuple[zipfile.ZipInfo, Header]] = []
        for info in archive.infolist():
            with archive.open(info) as file:
                header = _read_array_header(file)
                name = info.filename.removesuffix(".npy")
                if len(header[0]) >= 3:
                    pictures.append((info, header))
                elif name in _RATES and info.file_size <= _LONGEST_SCALAR:
                    value = np.frombuffer(file.read(), header[2])
                    self.rate_hz = self._check.rate(name, value[0] if value.size == 1 else value)
        if len(pictures) != 1:
            names = ", ".join(info.filename for info, _ in pictures) or "none"
            raise ClipFault(f"{self._path}: holds not one array of pictures but {names}", remedy=_REMEDY)
        info, (shape, fortran, kind) = pictures[0]
        self._take(shape, kind)
        if fortran:
            raise ClipFault(
                f"{self._path}: {info.filename}: is in Fortran's order",
                remedy="save numpy.ascontiguousarray(frames)",
            )
        self._member = archive.open(info)
        _read_array_header(self._member)
        self._data_at = self._member.tell()
        needed = self._data_at + int(np.prod(shape, dtype=object)) * kind.itemsize
        if info.file_size < needed:
            raise ClipFault(
                f"{self._path}: {info.filename}: cut short: pictures of shape {shape} need {needed} bytes, and it has "
                f"{info.file_size}",
                remedy="save it again",
            )

    def _take(self, shape: tuple[int, ...], kind: np.dtype) -> None:
        if kind.kind != "u" or kind.itemsize > 2:
            raise ClipFault(f"{self._path}: dtype: {kind} is not uint8 or uint16", remedy=_REMEDY)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] != 3) or min(shape, default=0) < 1:
            raise ClipFault(f"{self._path}: shape: {shape} are no pictures", remedy=_REMEDY)
        if shape[1] * shape[2] > MOST_PIXELS:
            raise ClipFault(
                f"{self._path}: shape: {shape}: {shape[2]}x{shape[1]} px is no size of a picture",
                remedy=_REMEDY,
            )
        self.frames, self.height_px, self.width_px = shape[:3]
        self._shape, self._kind = shape[1:], kind


def _read_array_header(file: IO[bytes]) -> Header:
    """Shape, order and type of an array in numpy's own format; raises ValueError where it is none."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, kind = read(file)
    if kind.hasobject:
        raise ValueError("an array of Python objects")
    return shape, fortran, kind
