"""Pictures for geometry come from every kind of recording."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from tremorscope.calibration.geometry.pictures import read_shots


def test_a_folder_of_pictures_and_a_file_of_raw_frames(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (6, 48, 64), np.uint8)
    folder = tmp_path / "views"
    folder.mkdir()
    for number, frame in enumerate(frames):
        cv2.imwrite(str(folder / f"{number}.png"), frame)
    np.save(tmp_path / "views.npy", frames)
    for path in (folder, tmp_path / "views.npy"):
        shots = read_shots([path], 3)
        assert [each.name for each in shots] == [f"{path.name} frame {number}" for number in (0, 2, 4)]
        assert np.array_equal(shots[1].picture[..., 0], frames[2])
    assert np.array_equal(read_shots([folder / "5.png"])[0].picture[..., 1], frames[5])
