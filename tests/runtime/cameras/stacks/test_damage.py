"""Damaged, cut and lying raw recordings: one line that names file and field, before any memory is taken."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_recordings import drawn, write_cine, write_mraw

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.errors import ClipFault

FEW = drawn(12, frames=4)


def read(path: Path) -> None:
    with closing(open_recording(path, capture_rate_hz=100.0)) as camera:
        luma = np.empty((camera.height_px, camera.width_px), np.float32)
        while camera.read_luma_into(luma) is not None:
            pass


def refusal(path: Path) -> str:
    """The one line that reading all of a recording is refused with, in little memory."""
    tracemalloc.start()
    with pytest.raises(ClipFault) as caught:
        read(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    tracemalloc.stop()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def cut(path: Path, bytes_kept: int) -> Path:
    path.write_bytes(path.read_bytes()[:bytes_kept])
    return path


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"Image_Width": 1_000_000_000}, "Image Width: '1000000000' is not within"),
        ({"Image_Width": 65000, "Image_Height": 65000}, "Image Width: '65000' is too much"),
        ({"Image_Width": "wide"}, "Image Width: 'wide' is not a whole number"),
        ({"Image_Height": 0}, "Image Height: '0' is not within"),
        ({"Total_Frame": 2_000_000_000}, "cut short: 2000000000 frames of 96x64 px need"),
        ({"Total_Frame": 5}, "cut short: 5 frames of 96x64 px need 46080 bytes, and it has 36864"),
        ({"Record_Rate(fps)": "0"}, "Record Rate(fps): '0' is not a number"),
        ({"Color_Bit": 14}, "Color Bit: '14' is not one of 8, 10, 12, 16"),
        ({"EffectiveBit_Depth": 99}, "EffectiveBit Depth: '99' is not within"),
        ({"File_Format": "Tiff"}, "File Format: 'Tiff' is not MRaw"),
        ({"Total_Frame": ""}, "Total Frame: is missing"),
    ],
)
@pytest.mark.parametrize("suffix", [".cih", ".cihx"])
def test_a_lying_photron_header_is_refused(
    changed: dict[str, object], told: str, suffix: str, tmp_path: Path
) -> None:
    path = write_mraw(tmp_path / f"c{suffix}", FEW, **changed)
    text = refusal(path)
    assert told in text
    assert str(tmp_path / "c.") in text


def test_photron_files_that_miss_each_other_are_told(tmp_path: Path) -> None:
    path = write_mraw(tmp_path / "c.cih", FEW)
    (tmp_path / "c.mraw").rename(tmp_path / "d.mraw")
    assert "c.cih: c.mraw is not beside it" in refusal(path)
    assert "d.mraw: d.cihx or d.cih is not beside it" in refusal(tmp_path / "d.mraw")
    (tmp_path / "e.cihx").write_bytes(b"nothing")
    assert "e.cihx: is not a header of a Photron recording" in refusal(tmp_path / "e.cihx")


SETUP = 84
ADDRESSES = SETUP + 0x163C + 8 + 12


@pytest.mark.parametrize(
    ("place", "new", "told"),
    [
        (0, b"XX", "is not a Cine file"),
        (4, struct.pack("<H", 1), "Compression: '1' is JPEG"),
        (20, struct.pack("<I", 2**31 - 1), "cut short: the addresses of 2147483647 pictures"),
        (20, struct.pack("<I", 0), "ImageCount: '0' is not within"),
        (28, struct.pack("<I", 2**31), "cut short: SETUP would end"),
        (48, struct.pack("<i", 2**30), "biWidth: '1073741824' is not within"),
        (48, struct.pack("<ii", 65000, 65000), "biWidth: '65000' is too much"),
        (58, struct.pack("<H", 7), "biBitCount: '7' is none of"),
        (60, struct.pack("<I", 3), "biCompression: '3' is none of"),
        (SETUP + 140, b"TS", "SETUP: Mark"),
        (SETUP + 768, struct.pack("<I", 2**32 - 1), "FrameRate: '4294967295' is not a number"),
        (ADDRESSES, struct.pack("<Q", 2**60), "cut short: 4 frames of 96x64 px need"),
        (
            ADDRESSES + 32,
            struct.pack("<I", 2**31),
            "picture 1: AnnotationSize: '2147483648' is beyond the file",
        ),
        (ADDRESSES + 36, struct.pack("<I", 5), "picture 1: ImageSize: '5' is less than 12288"),
    ],
)
def test_a_lying_cine_is_refused(place: int, new: bytes, told: str, tmp_path: Path) -> None:
    text = refusal(write_cine(tmp_path / "c.cine", FEW, changed={place: new}))
    assert told in text
    assert str(tmp_path / "c.cine") in text


@pytest.mark.parametrize("kept", [0, 10, 60, 500, ADDRESSES + 10, ADDRESSES + 3000])
def test_a_cine_that_was_cut_is_refused(kept: int, tmp_path: Path) -> None:
    told = refusal(cut(write_cine(tmp_path / "c.cine", FEW), kept))
    assert "c.cine: cut short" in told or (kept == 0 and "is empty" in told)


def test_a_colour_filter_is_told_with_the_remedy(tmp_path: Path) -> None:
    changed = {4: struct.pack("<H", 2), SETUP + 808: struct.pack("<I", 3)}
    assert "CFA: its pixels stand behind a colour filter" in refusal(
        write_cine(tmp_path / "c.cine", FEW, changed=changed)
    )


def npy_of(shape: tuple[int, ...], kind: str) -> bytes:
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (npy_of((10**9, 64, 96), "|u1"), "cut short: pictures of shape (1000000000, 64, 96) need"),
        (npy_of((4, 10**6, 10**6), "|u1"), "1000000x1000000 px is no size"),
        (npy_of((4, 64, 96), "<f4"), "dtype: float32 is not uint8 or uint16"),
        (npy_of((64, 96), "|u1"), "shape: (64, 96) are no pictures"),
        (npy_of((4, 64, 96, 4), "|u1"), "shape: (4, 64, 96, 4) are no pictures"),
        (npy_of((4, 0, 96), "|u1"), "shape: (4, 0, 96) are no pictures"),
        (npy_of((4, 64, 96), "|O"), "cannot be read as an array (an array of Python objects)"),
        (b"\x93NUMPY\x01\x00\xff", "cannot be read as an array"),
        (b"no array", "cannot be read as an array"),
    ],
)
def test_arrays_that_are_no_pictures_are_refused(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "c.npy").write_bytes(content)
    assert told in refusal(tmp_path / "c.npy")
    with zipfile.ZipFile(tmp_path / "c.npz", "w") as archive:
        archive.writestr("frames.npy", content)
    assert str(tmp_path / "c.npz") in refusal(tmp_path / "c.npz")


def test_archives_are_told_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=FEW, b=FEW)
    assert "holds not one array of pictures but a.npy, b.npy" in refusal(tmp_path / "two.npz")
    np.savez(tmp_path / "order.npz", a=np.asfortranarray(FEW))
    assert "a.npy: is in Fortran's order" in refusal(tmp_path / "order.npz")
    np.savez_compressed(tmp_path / "cut.npz", a=FEW)
    assert "cut.npz: cannot be read" in refusal(cut(tmp_path / "cut.npz", 4000))


def tiff_of_one_size(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "c.tif", FEW, photometric="minisblack")
    return tmp_path / "c.tif"


def lying_width(tmp_path: Path) -> Path:
    path = tiff_of_one_size(tmp_path)
    with tifffile.TiffFile(path) as file:
        tag = file.pages.first.tags["ImageWidth"]
        place = tag.valueoffset
    data = bytearray(path.read_bytes())
    data[place : place + 4] = struct.pack("<I", 4_000_000)
    path.write_bytes(data)
    return path


def of_floats(tmp_path: Path) -> Path:
    tifffile.imwrite(tmp_path / "c.tif", FEW.astype(np.float32), photometric="minisblack")
    return tmp_path / "c.tif"


def of_two_sizes(tmp_path: Path) -> Path:
    with tifffile.TiffWriter(tmp_path / "c.tif") as file:
        file.write(FEW[0], photometric="minisblack")
        file.write(FEW[1, :32], photometric="minisblack")
    return tmp_path / "c.tif"


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: cut(tiff_of_one_size(folder), 30000), "c.tif: "),
        (lambda folder: cut(tiff_of_one_size(folder), 6), "is not a TIFF file"),
        (lying_width, "page 1: StripByteCounts: 4000000x64 px need 512000000 bytes"),
        (of_floats, "BitsPerSample: pixels of type float32"),
        (of_two_sizes, "page 2: ImageWidth, ImageLength: 96x32 px"),
    ],
)
def test_a_lying_tiff_is_refused(make: Callable[[Path], Path], told: str, tmp_path: Path) -> None:
    assert told in refusal(make(tmp_path))


def png_of(width_px: int, height_px: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width_px, height_px, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (png_of(60000, 60000), "2.png: IHDR: 60000x60000 px is no size of a picture"),
        (b"\x89PNG\r\n\x1a\n", "2.png: cannot be read as a picture"),
        (b"", "2.png: cannot be read as a picture"),
    ],
)
def test_a_picture_that_cannot_be_read_is_named(content: bytes, told: str, tmp_path: Path) -> None:
    for number in range(4):
        Image.fromarray(drawn(8, frames=1)[0]).save(tmp_path / f"{number}.png")
    (tmp_path / "2.png").write_bytes(content)
    assert told in refusal(tmp_path)
