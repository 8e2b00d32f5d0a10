"""Lines of pixels over time: the line that was asked for, from the frames that were asked for, by each method."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import run_command, textured_frames, write_clip

from tremorscope.export.errors import ExportFault
from tremorscope.export.studies.slices import liveliest_column_px, read_strip


@pytest.fixture
def wide_clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "wide.mp4", textured_frames(6, width_px=320, height_px=240))


@pytest.mark.parametrize(
    ("column_px", "row_px"), [(0, None), (200, None), (319, None), (None, 0), (None, 131)]
)
def test_a_strip_holds_its_line(wide_clip: Path, column_px: int | None, row_px: int | None) -> None:
    strip = read_strip(wide_clip, 4, column_px, row_px)
    assert len(strip.frames) == 4
    for strip_frame, frame in zip(strip.frames, textured_frames(4, 320, 240), strict=True):
        expected = frame[:, column_px] if column_px is not None else frame[row_px]
        np.testing.assert_array_equal(strip.line(strip_frame), expected)
        assert strip_frame.shape[1 if column_px is not None else 0] <= 129


def test_the_liveliest_column_is_where_things_move(tmp_path: Path) -> None:
    frames = [np.full((48, 64, 3), 90, np.uint8) for _ in range(5)]
    for number, frame in enumerate(frames):
        frame[:, 41] += 30 * (number % 2)
    assert liveliest_column_px(write_clip(tmp_path / "blink.mp4", frames), 5) == 41


def test_a_line_outside_or_no_clip_is_refused(wide_clip: Path) -> None:
    with pytest.raises(ExportFault, match="--column 320: the picture ends at 319"):
        read_strip(wide_clip, 2, 320, None)
    with pytest.raises(ExportFault, match="no such file"):
        read_strip(wide_clip.with_name("none.mp4"), 2, 0, None)
    with pytest.raises(ExportFault, match="no video that can be read"):
        read_strip(Path(__file__), 2, 0, None)


def test_methods_are_drawn_one_below_the_other(wide_clip: Path, tmp_path: Path) -> None:
    pictures = []
    for methods in (("unmagnified",), ("unmagnified", "lite", "phase-based")):
        path = tmp_path / f"{len(methods)}.png"
        done = run_command("slices", wide_clip, *methods, "--row", 120, "--frames", 3, "-o", path)
        assert done.returncode == 0, done.stderr
        pictures.append(Image.open(path))
    one, three = pictures
    assert one.width == three.width
    assert 2 * one.height < three.height < 3 * one.height
    refused = run_command("slices", wide_clip, "lite", "--row", 1, "--column", 1, "-o", tmp_path / "x.png")
    assert (refused.returncode, "name one of them" in refused.stderr) == (2, True)
