"""Displacement beside that of pyidi, an independent implementation, on its own high-speed recording."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from support import ROOT

from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

CLIPS = ROOT.parent / "shared" / "clips"
COLUMNS = range(40, 600, 80)
REACH_PX = 15

pytestmark = pytest.mark.skipif(
    not CLIPS.is_dir(), reason="needs the collection of real clips beside the repository"
)


def measured(frames: np.ndarray, x: int) -> np.ndarray:
    side = 2 * REACH_PX + 1
    tracker = RegionTracker(frames[0], Region(x - REACH_PX, 20 - REACH_PX, side, side))
    return np.array([tracker.measure(frame).y_px for frame in frames])


def test_the_same_points_move_alike(tmp_path: Path) -> None:
    pyidi = pytest.importorskip("pyidi", reason="needs pyidi: pip install 'tremorscope[crosscheck]'")
    for ending in ("cih", "mraw"):
        shutil.copy(CLIPS / f"pyidi_showcase.{ending}", tmp_path)
    video = pyidi.VideoReader(str(tmp_path / "pyidi_showcase.cih"))
    frames = np.stack([video.get_frame(number) for number in range(video.N)]).astype(np.float64)
    other = pyidi.LucasKanade(video)
    other.set_points(np.array([[20, x] for x in COLUMNS]))
    other.configure(roi_size=(2 * REACH_PX + 1, 2 * REACH_PX + 1), int_order=3, verbose=0)
    theirs = other.get_displacements(autosave=False)[:, :, 0]
    for x, moved in zip(COLUMNS, theirs, strict=True):
        ours = measured(frames, x)
        assert np.corrcoef(ours, moved)[0, 1] > 0.999
        assert ours.std() == pytest.approx(moved.std(), rel=0.03)


def test_neighbouring_points_of_the_beam_move_alike() -> None:
    frames = np.fromfile(CLIPS / "pyidi_showcase.mraw", np.uint8).reshape(75, 40, 640).astype(np.float64)
    along = [measured(frames, x) for x in COLUMNS]
    assert all(0.05 < moved.std() < 0.1 for moved in along)
    assert all(np.corrcoef(a, b)[0, 1] > 0.99 for a, b in itertools.pairwise(along))
