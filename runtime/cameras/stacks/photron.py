"""Photron's MRAW: pictures without headers, described by a .cih (text) or .cihx (XML) of the same name beside them.

Fields, and the order of packed bits, after what public readers take from such files: pyMRAW (ladisk/pyMRAW) and
pySciCam (Duke). ``Color Bit`` is the size of a pixel in the file: 8, 10 or 12 (packed, most significant bit first), 16
(little-endian), 24 or 48 for colour; ``EffectiveBit Depth`` is what the sensor fills of it, on the side
``EffectiveBit Side``. A .cihx holds bytes that are no XML around its ``<cih>`` element.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from tremorscope.files import reason_of
from tremorscope.runtime.cameras.stacks.stack import (
    MOST_PIXELS,
    RawPicture,
    SizeCheck,
    packed_bytes,
    unpack_msb_first,
)
from tremorscope.runtime.errors import ClipFault

SUFFIXES = (".cih", ".cihx", ".mraw")
_LONGEST_HEADER = 2**20
_BITS = (8, 10, 12, 16, 24, 48)
_XML_NAMES = {
    "File Format": "imageFileInfo/fileFormat",
    "Record Rate(fps)": "recordInfo/recordRate",
    "Total Frame": "frameInfo/totalFrame",
    "Image Width": "imageDataInfo/resolution/width",
    "Image Height": "imageDataInfo/resolution/height",
    "Color Bit": "imageDataInfo/colorInfo/bit",
    "EffectiveBit Depth": "imageDataInfo/effectiveBit/depth",
    "EffectiveBit Side": "imageDataInfo/effectiveBit/side",
}
"""Names of the fields in a .cih, and where they stand in a .cihx."""


class PhotronStack:
    """The pictures of one MRAW file.

    Args:
        path: the .cih, the .cihx or the .mraw.

    Raises:
        ClipFault: one of the two files is missing, or they contradict each other.
    """

    notes: tuple[str, ...] = ()

    def __init__(self, path: Path) -> None:
        header = _beside(path, (".cihx", ".cih")) if path.suffix.lower() == ".mraw" else path
        fields = _read_header(header)
        check = SizeCheck(header)

        def field(name: str) -> str:
            if name not in fields:
                raise ClipFault(
                    f"{header}: {name}: is missing",
                    remedy="save the recording again from the camera's own program",
                )
            return fields[name]

        if fields.get("File Format", "MRaw").lower() != "mraw":
            raise ClipFault(
                f"{header}: File Format: {fields['File Format'][:60]!r} is not MRaw",
                remedy="name the pictures themselves, e.g. 'folder/*.tif'",
            )
        self.width_px, self.height_px = (
            check.side(name, field(name)) for name in ("Image Width", "Image Height")
        )
        self.frames = check.frames("Total Frame", field("Total Frame"))
        self.rate_hz: float | None = check.rate("Record Rate(fps)", field("Record Rate(fps)"))
        self._bits = check.whole("Color Bit", field("Color Bit"), 1, 64)
        if self.width_px * self.height_px > MOST_PIXELS:
            raise check.fault("Image Width", self.width_px, f"too much at a height of {self.height_px}")
        if self._bits not in _BITS:
            raise check.fault("Color Bit", self._bits, "not one of 8, 10, 12, 16, 24 and 48")
        stored = {24: 8, 48: 16}.get(self._bits, self._bits)
        effective = check.whole("EffectiveBit Depth", fields.get("EffectiveBit Depth", stored), 1, 16)
        self.bit_depth = min(effective, stored)
        # On the upper side the values are spread over the whole of the 16 bits.
        upper = fields.get("EffectiveBit Side", "Lower").lower() == "higher"
        self.white = 2 ** (stored if upper else self.bit_depth) - 1
        self._pictures = self._map(_beside(path, (".mraw",)), check)

    def picture(self, number: int) -> RawPicture:
        """Picture ``number``, (H, W) or (H, W, 3; RGB)."""
        stored = self._pictures[number]
        if self._bits in (10, 12):
            pixels = unpack_msb_first(stored, self._bits, self.width_px * self.height_px)
            return pixels.reshape(self.height_px, self.width_px)
        found: RawPicture = stored
        return found

    def close(self) -> None:
        """Close the file."""
        del self._pictures
        self._pictures = np.empty((0, 0), np.uint8)

    def _map(self, file: Path, check: SizeCheck) -> np.ndarray:
        pixels = self.width_px * self.height_px
        if self._bits in (10, 12):
            shape, kind = (self.frames, packed_bytes(self._bits, pixels)), np.dtype("u1")
        else:
            channels = (3,) if self._bits in (24, 48) else ()
            shape = (self.frames, self.height_px, self.width_px, *channels)
            kind = np.dtype("u1" if self._bits in (8, 24) else "<u2")
        needed = int(np.prod(shape, dtype=object)) * kind.itemsize
        check.holds(file, needed, f"{self.frames} frames of {self.width_px}x{self.height_px} px")
        return np.memmap(file, kind, "r", shape=shape)


def _beside(path: Path, suffixes: tuple[str, ...]) -> Path:
    """The file of the same name with one of some suffixes, in whatever case.

    Raises:
        ClipFault: there is none.
    """
    for suffix in suffixes:
        for spelt in (suffix, suffix.upper()):
            if (file := path.with_suffix(spelt)).is_file():
                return file
    raise ClipFault(
        f"{path}: {' or '.join(path.with_suffix(each).name for each in suffixes)} is not beside it",
        remedy="copy both files of the recording into one folder",
    )


def _read_header(path: Path) -> Mapping[str, str]:
    """Fields of a header by the names that a .cih gives them.

    Raises:
        ClipFault: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_LONGEST_HEADER)
    except OSError as error:
        raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path") from None
    if path.suffix.lower() == ".cih":
        fields: dict[str, str] = {}
        for line in data.decode("latin-1").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                fields.setdefault(name.strip(), value.strip())
        return fields
    start, stop = data.find(b"<cih>"), data.rfind(b"</cih>")
    try:
        if start < 0 or stop < 0:
            raise ElementTree.ParseError("no <cih> element")
        root = ElementTree.fromstring(data[start : stop + 6].decode("utf-8", "replace"))
    except ElementTree.ParseError as error:
        raise ClipFault(
            f"{path}: is not a header of a Photron recording ({error})",
            remedy="copy it again from the camera",
        ) from None
    found = {name: root.findtext(place) for name, place in _XML_NAMES.items()}
    return {name: text.strip() for name, text in found.items() if text}
