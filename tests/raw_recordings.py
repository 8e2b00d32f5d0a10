"""Files of raw pictures as high-speed cameras and programs of science write them, each by its own description."""

from __future__ import annotations

import functools
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scenes import shifted, textured
from scipy import ndimage

from tremorscope.runtime.cameras.recordings import PLUGINS
from tremorscope.runtime.vibration.displacement.regions import Region

Raw = NDArray[Any]
WIDTH_PX, HEIGHT_PX = 96, 64
FRAMES, CYCLES, AMPLITUDE_PX = 128, 17.3, 0.4
REGION = Region(16, 8, 64, 48)


@functools.cache
def drawn(bits: int = 8, *, frames: int = FRAMES, noise: float = 0.5, blur_px: float = 0.0) -> Raw:
    """Pictures (N, 64, 96) of so many bits: a texture that swings along x, 17.3 cycles in 128 frames."""
    rng, scene = np.random.default_rng(4), textured(3, side=WIDTH_PX)
    scene = ndimage.gaussian_filter(scene, blur_px, mode="wrap")
    phases = 2 * np.pi * CYCLES * np.arange(frames) / FRAMES
    moved = np.stack([shifted(scene, AMPLITUDE_PX * np.sin(each), 0)[:HEIGHT_PX] for each in phases])
    white = 2**bits - 1
    grey = (moved + noise * rng.standard_normal(moved.shape)) * (white / 255)
    pictures = np.clip(np.rint(grey), 0, white).astype(np.uint8 if bits == 8 else np.uint16)
    pictures.setflags(write=False)
    return pictures


def frequency_hz(rate_hz: float) -> float:
    """Frequency of the swing at a rate of capture."""
    return CYCLES / FRAMES * rate_hz


def packed(pictures: Raw, bits: int) -> bytes:
    """Pixels without a gap between them, the most significant bit first, each picture filled up to a whole group."""
    group = 2 if bits == 12 else 4
    parts = []
    for picture in pictures:
        pixels = np.resize(picture.ravel(), -(-picture.size // group) * group)
        set_bits = (pixels[:, None] >> np.arange(bits - 1, -1, -1)) & 1
        parts.append(np.packbits(set_bits.astype(np.uint8).ravel()).tobytes())
    return b"".join(parts)


def stored(pictures: Raw, bits: int) -> bytes:
    """Pixels as a file stores them: packed, or in whole bytes, the least significant first."""
    if bits in (10, 12):
        return packed(pictures, bits)
    return pictures.astype("u1" if bits in (8, 24) else "<u2").tobytes()


def write_mraw(
    path: Path, pictures: Raw, *, bits: int = 12, rate_hz: float = 2000.0, **changed: object
) -> Path:
    """A .mraw and its header beside it; ``path`` ends in .cih or .cihx."""
    fields: dict[str, object] = {
        "File Format": "MRaw",
        "Record Rate(fps)": f"{rate_hz:g}",
        "Total Frame": len(pictures),
        "Image Width": pictures.shape[2],
        "Image Height": pictures.shape[1],
        "Color Bit": bits,
        "EffectiveBit Depth": {24: 8}.get(bits, min(bits, 12)),
        "EffectiveBit Side": "Lower",
    }
    fields |= {name.replace("_", " "): value for name, value in changed.items()}
    path.with_suffix(".mraw").write_bytes(stored(pictures, bits))
    if path.suffix == ".cih":
        lines = ["#Camera Information Header", "Date : 2026/5/1", "Time : 10:30"]
        path.write_text(
            "\r\n".join(
                [*lines, *(f"{name} : {value}" for name, value in fields.items() if value != ""), "END"]
            )
        )
        return path
    xml = f"""<cih><basicInfo/><recordInfo><recordRate>{fields["Record Rate(fps)"]}</recordRate></recordInfo>
<frameInfo><totalFrame>{fields["Total Frame"]}</totalFrame></frameInfo>
<imageDataInfo><resolution><width>{fields["Image Width"]}</width><height>{fields["Image Height"]}</height></resolution>
<colorInfo><type>Mono</type><bit>{fields["Color Bit"]}</bit></colorInfo>
<effectiveBit><depth>{fields["EffectiveBit Depth"]}</depth><side>{fields["EffectiveBit Side"]}</side></effectiveBit>
</imageDataInfo><imageFileInfo><fileFormat>{fields["File Format"]}</fileFormat></imageFileInfo></cih>"""
    path.write_bytes(b"\x00\xff\x10CIHX\r\n" + xml.encode() + b"\r\n\xfe\x00")
    return path


def write_cine(
    path: Path,
    pictures: Raw,
    *,
    bits: int = 16,
    packing: int = 0,
    real_bits: int = 12,
    rate_hz: int = 1000,
    times_s: Sequence[float] | NDArray[np.float64] | None = None,
    version: int = 1,
    flip_v: int = 0,
    annotation: bytes = b"",
    changed: dict[int, bytes] | None = None,
) -> Path:
    """A Cine file; ``changed`` overwrites bytes at places of the finished file."""
    count, height, width = pictures.shape[:3]
    setup = bytearray(0x163C + 8)
    struct.pack_into("<H", setup, 0, min(rate_hz, 65535))
    struct.pack_into("<2sH", setup, 140, b"ST", len(setup))
    struct.pack_into("<II", setup, 760, flip_v, 0)
    struct.pack_into("<I", setup, 768, rate_hz)
    struct.pack_into("<I", setup, 896, real_bits)
    blocks = struct.pack("<IHH", 12, 1003, 0) + b"\0" * 4
    if times_s is not None:
        ticks = [(1_700_000_000 << 32) + (round(each * 2**32) & ~3 | 1) for each in times_s]
        blocks += struct.pack("<IHH", 8 + 8 * len(ticks), 1002, 0) + struct.pack(f"<{len(ticks)}Q", *ticks)
    addresses_at = 44 + 40 + len(setup) + len(blocks)
    entry = 8 if version else 4
    ordered = pictures if packing or flip_v else pictures[:, ::-1]
    body, addresses = b"", []
    for picture in ordered:
        pixels = _cine_pixels(picture, bits, packing)
        addresses.append(addresses_at + entry * count + len(body))
        body += struct.pack("<I", 8 + len(annotation)) + annotation + struct.pack("<I", len(pixels)) + pixels
    header = struct.pack(
        "<2sHHHiIiIIIIII", b"CI", 44, 0, version, 0, count, 0, count, 44, 84, addresses_at, 0, 1_700_000_000
    )
    bitmap = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, packing, 0, 0, 0, 0, 1 << real_bits)
    table = struct.pack(f"<{count}{'Q' if version else 'I'}", *addresses)
    data = bytearray(header + bitmap + setup + blocks + table + body)
    for place, new in (changed or {}).items():
        data[place : place + len(new)] = new
    path.write_bytes(data)
    return path


def _cine_pixels(picture: Raw, bits: int, packing: int) -> bytes:
    if packing:
        return packed(picture[None], {256: 10, 1024: 12}[packing])
    kind = "u1" if bits in (8, 24) else "<u2"
    turned = picture[..., ::-1] if picture.ndim == 3 else picture
    rows = turned.astype(kind).reshape(len(picture), -1)
    row = rows.view("u1")
    filled = np.zeros((len(row), -(-row.shape[1] // 4) * 4), np.uint8)
    filled[:, : row.shape[1]] = row
    return filled.tobytes()


def names(folder: Path, suffix: str, numbers: Iterable[int]) -> list[Path]:
    """Names of a sequence whose alphabetical order is not that of its numbers."""
    return [folder / f"shot_{number}{suffix}" for number in numbers]


READER = """
import os
import time
import numpy as np

class Reader:
    width_px, height_px, bit_depth, rate_hz = 96, 64, 12, 500.0

    def __init__(self, path):
        self._pictures = np.fromfile(path, "<u2").reshape(-1, 64, 96)
        self.frames = len(self._pictures)

    def picture(self, number):
        return self._pictures[number]

    def close(self):
        pass

class Late(Reader):
    def picture(self, number):
        if number == 3:
            raise IndexError("three\\nis too many")
        return super().picture(number)

class Deadly(Reader):
    def picture(self, number):
        os.kill(os.getpid(), 9)

class Endless(Reader):
    def __init__(self, path):
        super().__init__(path)
        path.with_suffix(f".{os.getpid()}.begun").touch()

    def picture(self, number):
        time.sleep(600)

class Once(Reader):
    def __init__(self, path):
        super().__init__(path)
        if not list(path.parent.glob("*.begun")):
            path.with_suffix(f".{os.getpid()}.begun").touch()
            time.sleep(600)

class Wide(Reader):
    width_px = "wide"

class Other(Reader):
    def picture(self, number):
        return self._pictures[number][:5]
"""
"""Readers of a laboratory's own format: one that works, and others."""


def write_plugins(site: Path, named: dict[str, str]) -> None:
    """A package whose entry points name readers by suffix, as pip leaves it on the disk."""
    information = site / "lab_readers-1.dist-info"
    information.mkdir(parents=True, exist_ok=True)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: lab-readers\nVersion: 1\n")
    (site / "lab_readers.py").write_text(READER)
    (site / "lab_broken.py").write_text("import a_library_that_is_not_there\n")
    lines = [f"[{PLUGINS}]", *(f"{name} = {value}" for name, value in named.items())]
    (information / "entry_points.txt").write_text("\n".join(lines))
