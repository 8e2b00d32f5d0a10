"""Check by a container's own structure that a recording is whole, before anything is decoded.

Decoders hide a missing end: they stop early, or conceal it. Containers of the three common families state how
long their parts are, so a short file shows by arithmetic: ISO base media (ISO/IEC 14496-12: MP4, MOV),
Matroska and WebM (RFC 9559), and RIFF (AVI).
"""

from __future__ import annotations

import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tremorscope.files import reason_of
from tremorscope.runtime.errors import ClipFault

_ISO_FIRST_BOXES = (b"ftyp", b"styp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*):/+.", re.IGNORECASE)
_EBML_MAGIC = b"\x1a\x45\xdf\xa3"


@dataclass(frozen=True)
class ContainerStructure:
    """Result of the walk over a container; ``family`` is None where the container is of another family."""

    family: str | None
    missing_bytes: int = 0
    """By how much the file is shorter than its parts claim."""
    has_index: bool = True
    """False for an ISO file without its ``moov`` box, which nothing can be read without."""


def inspect_clip(path: Path) -> ContainerStructure:
    """Check that a path leads to a file with content, and walk its top-level parts.

    Raises:
        ClipFault: it does not, or the file cannot be read.
    """
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ClipFault(f"{path}: is a directory", remedy="name one clip in it")
        if not stat.S_ISREG(status.st_mode):
            raise ClipFault(f"{path}: is not a file", remedy="name a recorded clip")
        if status.st_size == 0:
            raise ClipFault(f"{path}: is empty", remedy="record or copy the clip again")
        return inspect_structure(path)
    except FileNotFoundError:
        # As a path, `rtsp://name:password@host/x` has lost a slash; the password is not said.
        if (address := _ADDRESS.match(str(path))) is not None:
            raise ClipFault(
                f"{address[1]}: an address on the network, not a file",
                remedy="record a clip of it, or watch it by the service (camera.kind: rtsp)",
            ) from None
        raise ClipFault(f"{path}: no such file", remedy="check the path") from None
    except OSError as error:
        raise ClipFault(f"{path}: {reason_of(error)}", remedy="check the path and its permissions") from None


def inspect_structure(path: Path) -> ContainerStructure:
    """Walk the top-level parts of a file; reads a few bytes of each.

    Raises:
        OSError: the file cannot be opened or read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(21)
        if head[4:8] in _ISO_FIRST_BOXES:
            return _inspect_iso(file, size)
        if head[:4] == _EBML_MAGIC:
            return ContainerStructure("matroska", missing_bytes=_missing_of_matroska(file, size))
        if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
            return ContainerStructure("avi", missing_bytes=_missing_of_riff(file, size))
        if head[8:16] == b"WEBPVP8X" and head[20:] > b"" and head[20] & 2:
            return ContainerStructure("animated WebP")
    return ContainerStructure(None)


def _inspect_iso(file: BinaryIO, size: int) -> ContainerStructure:
    start, names, missing = 0, set(), 0
    while start + 8 <= size:
        file.seek(start)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        names.add(header[4:8])
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        if length < 8:  # 0: to the end of the file; anything else is no box
            break
        missing = max(0, start + length - size)
        start += length
    # A still picture (HEIC, AVIF) has its index in a meta box.
    return ContainerStructure(
        "iso", missing_bytes=missing, has_index=not names.isdisjoint((b"moov", b"meta"))
    )


def _missing_of_matroska(file: BinaryIO, size: int) -> int:
    file.seek(4)
    header_length = _ebml_size(file)
    if header_length is None:
        return 0
    file.seek(header_length + 4, 1)  # over the EBML header's body and the Segment's four-byte identifier
    segment_length = _ebml_size(file)
    # A live recording leaves the length open: then nothing can be told.
    return 0 if segment_length is None else max(0, file.tell() + segment_length - size)


def _ebml_size(file: BinaryIO) -> int | None:
    """A variable-length integer (RFC 8794, section 4); None for "unknown"."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    value = int.from_bytes(first + file.read(width - 1), "big") & ((1 << (7 * width)) - 1)
    return None if value == (1 << (7 * width)) - 1 else value


def _missing_of_riff(file: BinaryIO, size: int) -> int:
    start = 0
    while start + 8 <= size:  # files over 1 GB are several RIFF parts in a row
        file.seek(start)
        header = file.read(8)
        if header[:4] != b"RIFF":
            return 0
        start += 8 + int.from_bytes(header[4:], "little")
    return max(0, start - size)
