"""Peculiarities of raw recordings: order and gaps of names, orientation and times, sides of the bits, colours."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image
from raw_recordings import FRAMES, Raw, drawn, frequency_hz, names, write_cine, write_mraw

from tremorscope.runtime.cameras.opening import open_camera
from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.cameras.settings import ClipSettings
from tremorscope.runtime.cameras.stacks.tiff import TiffStack
from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.regions import Region

FEW = drawn(8, frames=12)
REGION = Region(16, 8, 64, 48)


def greens(path: Path, rate_hz: float | None = 100.0) -> tuple[Raw, list[float], list[str]]:
    """Green of every picture, times, and notes."""
    found, times_s = [], []
    with closing(open_recording(path, capture_rate_hz=rate_hz)) as camera:
        while True:
            pixels = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
            if (info := camera.read_into(pixels)) is None:
                return np.stack(found), times_s, camera.notes()
            found.append(pixels[..., 1])
            times_s.append(info.timestamp_s)


def save(paths: list[Path], pictures: Raw) -> None:
    for path, picture in zip(paths, pictures, strict=True):
        Image.fromarray(picture).save(path)


def refusal(path: Path, rate_hz: float | None = 100.0) -> str:
    with pytest.raises(ClipFault) as caught:
        greens(path, rate_hz)
    return str(caught.value)


@pytest.mark.parametrize("pattern", ["", "shot_*.png", "shot_%d.png", "shot_%04d.png", "shot_1?.png"])
def test_names_are_read_in_natural_order(pattern: str, tmp_path: Path) -> None:
    save(names(tmp_path, ".png", range(5, 17)), FEW)
    (tmp_path / ".shot_9.png").write_bytes(b"hidden")
    (tmp_path / "notes.txt").write_text("of the day")
    found, _, notes = greens(tmp_path / pattern)
    assert np.array_equal(found, FEW[5:] if "?" in pattern else FEW)
    assert notes == []


def test_missing_numbers_are_gaps_in_time(tmp_path: Path) -> None:
    numbers = [*range(90, 95), 97, *range(98, 104)]
    save(names(tmp_path, ".png", numbers), FEW)
    _, times_s, notes = greens(tmp_path, 50.0)
    assert np.allclose(times_s, (np.array(numbers) - 90) / 50)
    assert notes == ["2 of 14 numbered pictures are missing: they count as lost frames"]


def test_numbers_that_are_no_count_are_none(tmp_path: Path) -> None:
    save(names(tmp_path, ".png", [10**6 + 1000 * number + number**2 for number in range(12)]), FEW)
    assert np.allclose(greens(tmp_path, 50.0)[1], np.arange(12) / 50)


def test_a_folder_that_is_no_sequence_is_told(tmp_path: Path) -> None:
    assert "is a directory without pictures" in refusal(tmp_path)
    assert "a*.png: no picture has such a name" in refusal(tmp_path / "a*.png")
    assert "no picture has such a name" in refusal(tmp_path / "%03d.png")
    save(names(tmp_path, ".png", range(9)), FEW[:9])
    assert ": states no rate of capture: give" in (told := refusal(tmp_path, None))
    assert "--capture-fps" in told
    save(names(tmp_path, ".jpg", range(3)), FEW[:3])
    told = refusal(tmp_path)
    assert "holds pictures of several kinds (9 .png, 3 .jpg)" in told
    assert f"'{tmp_path}/*.png'" in told
    save([tmp_path / "shot_9.png"], FEW[:1, :32])
    assert "shot_*.png: picture 10 is 96x32 px of uint8, and the first is 96x64 px" in refusal(
        tmp_path / "shot_*.png"
    )


def test_pictures_too_small_are_told(tmp_path: Path) -> None:
    np.save(tmp_path / "c.npy", FEW[:, :8])
    assert "96x8 px is too small" in refusal(tmp_path / "c.npy")


@pytest.mark.parametrize("depth", ["lower", "upper", "stretched"])
def test_twelve_bits_in_sixteen_are_found(depth: str, tmp_path: Path) -> None:
    pictures = drawn(12, frames=12)
    kept = {"lower": pictures, "upper": pictures << 4, "stretched": FEW * np.uint16(257)}[depth]
    np.save(tmp_path / "c.npy", kept.astype(">u2"))
    with closing(open_recording(tmp_path / "c.npy", capture_rate_hz=100.0)) as camera:
        assert camera.bit_depth == (8 if depth == "stretched" else 12)
    assert np.abs(greens(tmp_path / "c.npy")[0].astype(int) - FEW).max() <= 1


def test_frames_brighter_than_all_that_were_looked_at_are_told(tmp_path: Path) -> None:
    pictures = drawn(10, frames=60).copy()
    pictures[1, 0, 0] = 5000
    np.save(tmp_path / "c.npy", pictures)
    (note,) = greens(tmp_path / "c.npy")[2]
    assert note.startswith("1 frames are brighter than 10 bits")


@pytest.mark.parametrize("flip_v", [0, 1])
@pytest.mark.parametrize("packing", [0, 1024])
def test_a_cine_stands_upright(flip_v: int, packing: int, tmp_path: Path) -> None:
    pictures = drawn(12, frames=3)
    found, *_ = greens(write_cine(tmp_path / "c.cine", pictures, packing=packing, flip_v=flip_v))
    # What the writer stores top down is turned only where packed and flipped.
    upright = pictures[:, ::-1] if packing and flip_v else pictures
    assert np.array_equal(found, np.floor(upright * (255 / 4095) + 0.5))


@pytest.mark.parametrize("version", [0, 1])
def test_a_cine_of_either_version_with_annotations_is_read(version: int, tmp_path: Path) -> None:
    path = write_cine(
        tmp_path / "c.cine", FEW, bits=8, real_bits=8, version=version, annotation=b"range data"
    )
    assert np.array_equal(greens(path)[0], FEW)


def test_colours_of_a_cine_and_of_photron_come_in_order(tmp_path: Path) -> None:
    colour = np.stack([FEW, 255 - FEW, FEW // 2], axis=-1)
    for path in (
        write_cine(tmp_path / "c.cine", colour, bits=24, real_bits=8),
        write_mraw(tmp_path / "c.cih", colour, bits=24),
    ):
        with closing(open_recording(path)) as camera:
            pixels = np.empty((64, 96, 3), np.uint8)
            camera.read_into(pixels)
            assert np.array_equal(pixels, colour[0])


def test_the_times_of_a_cine_go_before_its_rate(tmp_path: Path) -> None:
    times_s = np.arange(FRAMES) / 998.3
    path = write_cine(tmp_path / "c.cine", drawn(12), times_s=times_s, rate_hz=1000)
    found = measure_clip(MeasureJob(path, None, (REGION,)))
    assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(frequency_hz(998.3), rel=1e-3)
    assert np.allclose(found.times_s, times_s, atol=1e-6)
    assert "1000 frames/s are stated, and the pictures' times say 998.3: these are taken" in found.notes()


def test_times_of_a_cine_that_do_not_rise_are_told(tmp_path: Path) -> None:
    path = write_cine(tmp_path / "c.cine", drawn(12, frames=20), times_s=[0.0] * 20)
    _, times_s, notes = greens(path, None)
    assert np.allclose(np.diff(times_s), 1 / 25), "1000 frames/s, slowed down to 25"
    assert notes == ["the pictures' times do not rise: the stated rate is taken"]


def test_photron_values_on_the_upper_side(tmp_path: Path) -> None:
    pictures = drawn(12, frames=3)
    path = write_mraw(tmp_path / "c.cihx", pictures << 4, bits=16, EffectiveBit_Side="Higher")
    found, *_ = greens(path.with_suffix(".mraw"))
    assert np.abs(found - pictures * (255 / 4095)).max() <= 1


@pytest.mark.parametrize("how", ["rgb", "planar", "lzw", "lzw pages", "lzw rgb", "bigtiff", "one"])
def test_tiff_files_of_other_kinds(how: str, tmp_path: Path) -> None:
    path, colour = tmp_path / "c.tiff", np.stack([FEW, 255 - FEW, FEW // 2], axis=-1)
    if how == "rgb":
        tifffile.imwrite(path, colour, photometric="rgb")
    elif how == "planar":
        tifffile.imwrite(path, np.moveaxis(colour, -1, 1), photometric="rgb", planarconfig="separate")
    elif how == "lzw":
        path = tmp_path
        for number, picture in enumerate(FEW):
            Image.fromarray(picture).save(tmp_path / f"{number}.tif", compression="tiff_lzw")
    elif how == "lzw pages":
        assert cv2.imwritemulti(str(path), [picture.astype(np.uint16) * 257 for picture in FEW])
    elif how == "lzw rgb":
        first, *others = map(Image.fromarray, colour)
        first.save(path, save_all=True, append_images=others, compression="tiff_lzw")
        assert np.array_equal(TiffStack(path).picture(3), colour[3])
    elif how == "bigtiff":
        tifffile.imwrite(path, FEW, bigtiff=True, byteorder=">", photometric="minisblack")
    else:
        tifffile.imwrite(path, FEW[0], photometric="minisblack")
    found, *_ = greens(path)
    assert np.array_equal(
        found, FEW[:1] if how == "one" else 255 - FEW if how in ("rgb", "planar", "lzw rgb") else FEW
    )


def test_a_service_replays_a_raw_recording_at_its_true_rate(tmp_path: Path) -> None:
    path = write_mraw(tmp_path / "c.cih", drawn(12, frames=5), rate_hz=2000)
    with closing(open_camera(ClipSettings(path=path, speed="fast"))) as camera:
        assert camera.nominal_rate_hz == 2000
        pixels = np.empty((64, 96, 3), np.uint8)
        times_s = []
        while (info := camera.read_into(pixels)) is not None:
            times_s.append(info.timestamp_s)
    assert np.allclose(times_s, np.arange(5) / 2000)
