"""The account that a clip gives of its compression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenes import filmed, shifted, textured
from support import Picture, write_clip

from tremorscope.runtime.cameras.clip import ClipCamera
from tremorscope.runtime.cameras.clip_coding import ClipCoding


def pictures(count: int = 49) -> list[Picture]:
    rng, texture = np.random.default_rng(1), textured(0)
    moved = [
        filmed(shifted(texture, 0.3 * np.sin(n), 0.0), rng)[:96, :128].astype(np.uint8) for n in range(count)
    ]
    return [np.repeat(each[..., None], 3, axis=2) for each in moved]


def coding(path: Path, *, quantisers: bool = True) -> ClipCoding:
    camera = ClipCamera(path, quantisers=quantisers)
    frame = np.empty((camera.height_px, camera.width_px, 3), np.uint8)
    while camera.read_into(frame):
        pass
    camera.close()
    return camera.coding()


@pytest.mark.parametrize(("bframes", "pattern"), [("0", 1), ("3", 4)])
def test_h264_tells_rhythms_and_quantiser(bframes: str, pattern: int, tmp_path: Path) -> None:
    options = {"qp": "26", "g": "12", "bf": bframes, "b_strategy": "0", "sc_threshold": "0", "aq-mode": "0"}
    clip = write_clip(
        tmp_path / "c.mp4", pictures(), codec="libx264", pixel_format="yuv420p", options=options
    )
    found = coding(clip)
    assert (found.codec, found.pictures, found.is_predicted) == ("h264", 49, True)
    assert (found.key_interval, found.pattern) == (12, pattern)
    assert found.quantiser is not None
    assert found.quantiser.shape == (6, 8)
    assert 26 <= found.quantiser.mean() <= 29  # B pictures are coded two coarser
    assert 0.01 < found.bits_per_pixel < 8 * clip.stat().st_size / (49 * 96 * 128)
    assert coding(clip, quantisers=False).quantiser is None


@pytest.mark.parametrize(
    ("name", "codec", "pixel_format"),
    [("c.mkv", "ffv1", "gray"), ("c.mov", "cfhd", "yuv422p10le")],  # cfhd's decoder tells no key frames
)
def test_each_picture_by_itself_has_no_rhythm(
    name: str, codec: str, pixel_format: str, tmp_path: Path
) -> None:
    found = coding(write_clip(tmp_path / name, pictures(), codec=codec, pixel_format=pixel_format))
    assert not found.is_predicted
    assert found.bits_per_pixel > 1
    assert (found.key_interval, found.pattern, found.quantiser) == (None, 1, None)


@pytest.mark.parametrize(("name", "codec"), [("c.avi", "mpeg4"), ("c.mpg", "mpeg2video"), ("c.wmv", "wmv2")])
def test_the_steps_of_mpeg_are_told_as_those_of_h264(name: str, codec: str, tmp_path: Path) -> None:
    fixed = {"qmin": "4", "qmax": "4"}
    found = coding(
        write_clip(tmp_path / name, pictures(), codec=codec, pixel_format="yuv420p", options=fixed)
    )
    assert found.is_predicted
    assert found.quantiser is not None
    assert found.quantiser.mean() == pytest.approx(4 + 6 * 3)  # a step of 8, twice the quantiser


def test_another_codec_tells_its_bits_alone(tmp_path: Path) -> None:
    clip = write_clip(
        tmp_path / "c.mkv", pictures(), codec="libvpx", pixel_format="yuv420p", options={"g": "12"}
    )
    found = coding(clip)
    assert found.is_predicted
    assert found.quantiser is None
    assert found.bits_per_pixel > 0.01
