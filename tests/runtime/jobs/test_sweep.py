"""The contact sheet of bands: where it shows motion, how far, and where it shows none."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from scenes import rgb, shifted, textured
from support import run_command, write_clip

from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.jobs.sweep import SweepJob, sweep_clip

RATE_HZ, SIDE_PX = 25, 128
SLOW, FAST = (slice(8, 56), slice(8, 120)), (slice(72, 120), slice(8, 120))
INSIDE = slice(3, 9), slice(5, 27)
"""Cells of a body, from its first row of cells on, that its edges have no part in."""


def film(path: Path, slow_px: float, fast_px: float, *, count: int = 120, flicker: float = 0.0) -> Path:
    """Upper half moves along y at 2 Hz, lower half along x at 6 Hz, before ground; noise of one grey level."""
    rng = np.random.default_rng(0)
    bodies, ground = (textured(1, side=SIDE_PX), textured(2, side=SIDE_PX)), textured(3, side=SIDE_PX)
    frames = []
    for number in range(count):
        turn = 2 * np.pi * number / RATE_HZ
        picture = ground.copy()
        picture[SLOW] = shifted(bodies[0], 0, slow_px * np.sin(2 * turn))[SLOW]
        picture[FAST] = shifted(bodies[1], fast_px * np.sin(6 * turn), 0)[FAST]
        picture *= 1 + flicker * np.sin(2 * turn)
        frames.append(rgb(np.clip(np.rint(picture + rng.standard_normal(picture.shape)), 0, 255)))
    return write_clip(path, frames, rate=RATE_HZ)


def test_each_band_shows_what_moves_in_it_where_it_moves_and_how_far(tmp_path: Path) -> None:
    clip = film(tmp_path / "of a bridge.mp4", 0.2, 0.1)
    swept = sweep_clip(SweepJob(clip, tmp_path / "sheet.png"))
    slow, fast = swept.maps
    assert slow.band_hz[0] < 2 < slow.band_hz[1] < fast.band_hz[0] < 6 < fast.band_hz[1]
    for own, other, body, amplitude_px in ((slow, fast, 0, 0.2), (fast, slow, 16, 0.1)):
        rows = slice(INSIDE[0].start + body, INSIDE[0].stop + body)
        own_px = np.sqrt(2) * float(np.median(own.rms_px[rows, INSIDE[1]]))
        assert own_px == pytest.approx(amplitude_px, rel=0.2)
        assert np.sqrt(2) * float(np.median(other.rms_px[rows, INSIDE[1]])) < 0.02
    sheet = np.asarray(cv2.imread(str(tmp_path / "sheet.png")))
    assert sheet.shape[1] > 600
    assert sheet.std() > 20
    # What it proposes can be pasted as it stands.
    options = "-o out.mp4 -a auto --mode band --band 1.76 2.24"
    assert swept.lines()[-1] == f"to see it move tremorscope magnify '{clip}' {options}"
    with Image.open(tmp_path / "sheet.png") as drawn:
        told = drawn.info["Comment"]
    assert told.startswith("swept by tremorscope ")
    assert hashlib.sha256(clip.read_bytes()).hexdigest() in told


def test_a_raw_stream_s_frames_are_counted_first(tmp_path: Path) -> None:
    clip = film(tmp_path / "c.mp4", 0.2, 0.1, count=100)
    subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-c", "copy", tmp_path / "c.h264"], check=True)
    swept = sweep_clip(SweepJob(tmp_path / "c.h264", tmp_path / "sheet.png", "log"))
    assert swept.frames == 100
    assert swept.maps[0].band_hz[0] == pytest.approx(3 * RATE_HZ / 100)
    assert max(each.largest_px for each in swept.maps) > 0.1


def test_light_that_flickers_is_no_motion(tmp_path: Path) -> None:
    clip = film(tmp_path / "c.mp4", 0.0, 0.0, flicker=0.02, count=80)
    swept = sweep_clip(SweepJob(clip, tmp_path / "sheet.png", "log"))
    assert len(swept.maps) == 8
    assert max(float(np.mean(each.rms_px)) for each in swept.maps) < 0.02


def test_what_cannot_be_swept_is_one_line(tmp_path: Path) -> None:
    clip = film(tmp_path / "c.mp4", 0.2, 0.1, count=8)
    with pytest.raises(ClipFault, match="is too short for a sweep: name a clip of 32 frames or more"):
        sweep_clip(SweepJob(clip, tmp_path / "sheet.png"))
    with pytest.raises(OptionFault, match=r"a sweep is one picture: name it with \.png"):
        sweep_clip(SweepJob(clip, tmp_path / "sheet.mp4"))
    done = run_command("magnify", clip, "-o", tmp_path / "sheet.png", "--sweep", "--band", 1, 2)
    assert (done.returncode, done.stderr) == (
        2, "tremorscope: --band has no part in --sweep: see tremorscope magnify --help\n"
    )  # fmt: skip
    assert [each.name for each in tmp_path.iterdir()] == ["c.mp4"]
