"""Live pictures as JPEG: sizes, colours, quality."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest
from numpy.typing import NDArray
from support import textured_frames

from tremorscope.runtime.outputs.web.pictures import JpegEncoder, scale_of


def decoded(jpeg: bytes) -> NDArray[np.uint8]:
    with av.open(io.BytesIO(jpeg), format="mjpeg") as container:
        return next(container.decode(video=0)).to_ndarray(format="rgb24")


def encode(picture: NDArray[np.uint8], most_width_px: int = 4000, quality: int = 90) -> bytes:
    height, width = picture.shape[:2]
    encoder = JpegEncoder(width_px=width, height_px=height, most_width_px=most_width_px, quality=quality)
    return encoder.encode(picture)


def test_colours_arrive_as_they_are() -> None:
    colours = np.array([(0, 0, 0), (255, 255, 255), (200, 40, 60), (30, 180, 220), (128, 128, 128)], np.uint8)
    picture = np.repeat(np.repeat(colours[:, None], 32, axis=0), 64, axis=1)
    found = decoded(encode(np.ascontiguousarray(picture)))
    for number, colour in enumerate(colours.astype(int)):
        patch = found[32 * number + 8 : 32 * number + 24, 8:-8].reshape(-1, 3)
        assert np.abs(patch.mean(0) - colour).max() < 4


@pytest.mark.parametrize(
    ("size", "most_width_px", "expected"),
    [
        ((64, 48), 960, (64, 48)),
        ((65, 49), 960, (64, 48)),
        ((1920, 1080), 960, (960, 540)),
        ((641, 361), 320, (320, 180)),
    ],
)
def test_wide_pictures_are_made_smaller_in_the_same_shape(
    size: tuple[int, int], most_width_px: int, expected: tuple[int, int]
) -> None:
    picture = np.full((size[1], size[0], 3), 77, np.uint8)
    assert decoded(encode(picture, most_width_px)).shape == (expected[1], expected[0], 3)


def test_more_quality_means_less_error_and_more_bytes() -> None:
    picture = textured_frames(1, 320, 180)[0]
    coarse, fine = encode(picture, quality=30), encode(picture, quality=92)
    assert len(fine) > 1.3 * len(coarse)
    errors = [np.abs(decoded(jpeg).astype(int) - picture).mean() for jpeg in (coarse, fine)]
    assert errors[1] < 0.7 * errors[0]
    assert [scale_of(quality) for quality in (20, 50, 75, 95)] == [20, 8, 4, 2]
