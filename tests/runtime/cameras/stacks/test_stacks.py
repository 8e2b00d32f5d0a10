"""Raw recordings of every format: pixels to the bit, rates and times, and what is measured in them."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_recordings import (
    AMPLITUDE_PX,
    FRAMES,
    Raw,
    drawn,
    frequency_hz,
    names,
    write_cine,
    write_mraw,
)

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.frames.frame import FrameInfo
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.regions import Region

REGION = Region(16, 8, 64, 48)


def lumas(path: Path, **options: float) -> tuple[Raw, list[FrameInfo]]:
    found, infos = [], []
    with closing(open_recording(path, **options)) as camera:
        while True:
            luma = np.empty((camera.height_px, camera.width_px), np.float32)
            if (info := camera.read_luma_into(luma)) is None:
                return np.stack(found), infos
            found.append(luma)
            infos.append(info)


def rgb(path: Path, **options: float) -> Raw:
    found = []
    with closing(open_recording(path, **options)) as camera:
        while True:
            pixels = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
            if camera.read_into(pixels) is None:
                return np.stack(found)
            found.append(pixels)


def write_sequence(folder: Path, pictures: Raw, suffix: str) -> Path:
    folder.mkdir(exist_ok=True)
    for path, picture in zip(names(folder, suffix, range(5, 5 + len(pictures))), pictures, strict=True):
        Image.fromarray(picture).save(path, **({"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}))
    return folder


def write_recording(kind: str, folder: Path) -> tuple[Path, int, float | None]:
    """A recording of the drawn tone, its bits, and the rate that must be stated."""
    if kind == "png 8":
        return write_sequence(folder / "f", drawn(8), ".png"), 8, 240.0
    if kind == "png 16":
        return write_sequence(folder / "f", drawn(16), ".png") / "*.png", 16, 240.0
    if kind == "jpg":
        return write_sequence(folder / "f", drawn(8), ".jpg") / "shot_%d.jpg", 8, 240.0
    if kind == "tif 12":
        return write_sequence(folder / "f", drawn(12), ".tif"), 12, 240.0
    if kind == "tiff pages":
        tifffile.imwrite(folder / "c.tif", drawn(12), photometric="minisblack", compression="zlib")
        return folder / "c.tif", 12, 240.0
    if kind == "imagej":
        tifffile.imwrite(
            folder / "c.tif", drawn(16), imagej=True, metadata={"axes": "TYX", "finterval": 1 / 500}
        )
        return folder / "c.tif", 16, None
    if kind == "npy":
        np.save(folder / "c.npy", drawn(12))
        return folder / "c.npy", 12, 240.0
    if kind == "npz":
        np.savez_compressed(folder / "c.npz", frames=drawn(10), rate_hz=500.0)
        return folder / "c.npz", 10, None
    if kind.startswith("mraw"):
        bits = int(kind.split()[1])
        return (
            write_mraw(folder / f"c.{kind.split()[2]}", drawn(min(bits, 12)), bits=bits, rate_hz=500),
            min(bits, 12),
            None,
        )
    real_bits, packing = {
        "cine 8": (8, 0),
        "cine 14": (14, 0),
        "cine p10": (10, 256),
        "cine p12": (12, 1024),
    }[kind]
    bits = 8 if real_bits == 8 else 16
    write_cine(
        folder / "c.cine", drawn(real_bits), bits=bits, packing=packing, real_bits=real_bits, rate_hz=500
    )
    return folder / "c.cine", real_bits, None


KINDS = [
    *("png 8", "png 16", "jpg", "tif 12", "tiff pages", "imagej", "npy", "npz"),
    *("mraw 8 cih", "mraw 10 cihx", "mraw 12 cih", "mraw 16 cihx"),
    *("cine 8", "cine 14", "cine p10", "cine p12"),
]


@pytest.mark.parametrize("kind", KINDS)
def test_the_drawn_tone_is_measured(kind: str, tmp_path: Path) -> None:
    path, bits, stated_hz = write_recording(kind, tmp_path)
    with closing(open_recording(path, capture_rate_hz=stated_hz)) as camera:
        assert camera.bit_depth == bits
        assert camera.frame_count_estimate == FRAMES
    found = measure_clip(MeasureJob(path, None, (REGION,), capture_rate_hz=stated_hz))
    (finding, *_) = found.analysis.findings
    assert finding.peak.frequency_hz == pytest.approx(frequency_hz(stated_hz or 500), rel=1e-3)
    assert finding.peak.amplitude == pytest.approx(AMPLITUDE_PX, rel=0.05)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "jpg"])
def test_pixels_come_back_to_the_bit(kind: str, tmp_path: Path) -> None:
    path, bits, stated_hz = write_recording(kind, tmp_path)
    white = 2**bits - 1
    rate = {} if stated_hz is None else {"capture_rate_hz": stated_hz}
    found, infos = lumas(path, **rate)
    assert np.array_equal(np.rint(found * (white / 255)), drawn(bits))
    assert np.array_equal(rgb(path, **rate)[..., 1], np.floor(drawn(bits) * (255 / white) + 0.5))
    assert [info.sequence for info in infos] == list(range(FRAMES))
