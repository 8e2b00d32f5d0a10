"""More than 8 bits: the meter gets all of them, and its noise floor falls where rounding was the noise."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from raw_recordings import Raw, drawn, frequency_hz

from tremorscope.runtime.cameras.recordings import open_recording
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.regions import Region

REGION = Region(16, 8, 64, 48)


def beside_a_wall(bits: int, noise: float) -> Raw:
    """The drawn tone beside a flat wall, on which noise can be told from texture.

    The lens is soft, as detail at the limit of the pixels adds errors of resampling to those of noise.
    """
    moving, white = drawn(bits, noise=noise, blur_px=0.8), 2**bits - 1
    rng = np.random.default_rng(8)
    wall = 90.3 + np.linspace(0, 7, 64) + noise * rng.standard_normal((*moving.shape[:2], 64))
    return np.concatenate([moving, np.rint(wall * (white / 255)).astype(moving.dtype)], axis=2)


def floors(path: Path) -> tuple[float, float]:
    """Stated noise floor along x, and the scatter of what was measured about the drawn tone."""
    found = measure_clip(MeasureJob(path, None, (REGION,), capture_rate_hz=500.0))
    (region,) = found.analysis.regions
    phase = 2 * np.pi * frequency_hz(500) * found.times_s
    design = np.column_stack([np.sin(phase), np.cos(phase), np.ones_like(phase)])
    x_px = region.series.x_px
    left = x_px - design @ np.linalg.lstsq(design, x_px, rcond=None)[0]
    return region.series.noise_floor_px[0], float(left.std())


@pytest.mark.parametrize("noise", [0.1, 0.22])
def test_the_floor_falls_by_a_third_where_rounding_was_the_noise(noise: float, tmp_path: Path) -> None:
    stated, scattered = [], []
    for bits in (8, 12):
        np.save(tmp_path / "c.npy", beside_a_wall(bits, noise))
        floor, scatter = floors(tmp_path / "c.npy")
        stated.append(floor)
        scattered.append(scatter)
    assert scattered[1] < 0.67 * scattered[0]
    assert stated[1] < 0.67 * stated[0]
    assert 0.7 < scattered[1] / stated[1] < 1.3, "the stated floor is the true one"


def write_deep_video(path: Path, pictures: Raw, codec: str, pixel_format: str) -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = pixel_format
        for picture in pictures:
            frame: Any = av.VideoFrame(picture.shape[1], picture.shape[0], pixel_format)
            plane = frame.planes[0]
            rows = np.zeros((picture.shape[0], plane.line_size // 2), "<u2")
            rows[:, : picture.shape[1]] = picture
            plane.update(rows.tobytes())
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    if path.suffix == ".avi":
        name_pixels(path, b"Y16 ")
    return path


def name_pixels(path: Path, code: bytes) -> None:
    """Name the pixels of a raw AVI, for which FFmpeg leaves the name open, as programs of cameras do."""
    data = bytearray(path.read_bytes())
    handler, bitmap = data.index(b"vids") + 4, data.index(b"strf") + 8
    data[handler : handler + 4] = data[bitmap + 16 : bitmap + 20] = code
    height = abs(int.from_bytes(data[bitmap + 8 : bitmap + 12], "little", signed=True))
    data[bitmap + 8 : bitmap + 12] = height.to_bytes(4, "little")
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format", "bits"),
    [
        ("c.avi", "rawvideo", "gray16le", 16),
        ("c.mkv", "ffv1", "gray10le", 10),
        ("c.mkv", "ffv1", "gray12le", 12),
    ],
)
def test_deep_videos_give_all_their_bits(
    name: str, codec: str, pixel_format: str, bits: int, tmp_path: Path
) -> None:
    """AVI with Y16 is what machine-vision programs write."""
    pictures = drawn(bits, frames=3)
    path = write_deep_video(tmp_path / name, pictures, codec, pixel_format)
    if name == "c.avi":
        assert b"Y16 " in path.read_bytes()[:4096]
    with closing(open_recording(path)) as camera:
        assert camera.bit_depth == bits
        luma = np.empty((camera.height_px, camera.width_px), np.float32)
        for number, picture in enumerate(pictures):
            assert (info := camera.read_luma_into(luma)) is not None
            assert info.timestamp_s == pytest.approx(number / 25)
            assert np.abs(luma * ((2**bits - 1) / 255) - picture).max() < 0.6
        assert camera.read_luma_into(luma) is None


def test_an_8_bit_clip_is_measured_as_before(clip: Path) -> None:
    with closing(open_recording(clip)) as camera:
        assert camera.bit_depth == 8
