"""The protocols, judged with magnifiers whose results are known beforehand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model.drawing import draw_picture
from model.errors import ImageFault
from model.evaluate import (
    Frame,
    read_evaluation_photographs,
    still_frame_ssim,
    subpixel_test,
    write_csv,
)
from model.registration import ShiftedScene, reached_displacement_px


def unmagnified(frame: Frame, _reference: Frame, _amplification: float) -> Frame:
    return frame


@pytest.fixture(scope="module")
def photographs() -> list[Frame]:
    return [draw_picture(seed, 320) for seed in (0, 1)]


@pytest.mark.parametrize(("x_px", "y_px"), [(0.0, 0.0), (0.01, 0.0), (0.0, -0.25), (3.7, 9.9)])
def test_a_shift_is_exact(x_px: float, y_px: float) -> None:
    y, x = np.mgrid[0:64, 0:96].astype(float)

    def scene(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        # Even about both ends, as the mirrored extension assumes, so that there is a truth to compare with.
        return np.cos(np.pi * 5 * (x + 0.5) / 96) * np.cos(np.pi * 7 * (y + 0.5) / 64)

    shifted = ShiftedScene(scene(x, y)).shifted(x_px, y_px)
    np.testing.assert_allclose(shifted, scene(x - x_px, y - y_px), atol=1e-12)


@pytest.mark.parametrize("moved_px", [0.0, 0.5, 3.2, 10.0])
def test_reached_displacement_is_the_true_one(photographs: list[Frame], moved_px: float) -> None:
    inner = slice(40, -40), slice(40, -40)
    for angle in (0.0, 2.0):
        moved = ShiftedScene(photographs[0].astype(float)).shifted(
            moved_px * np.cos(angle), moved_px * np.sin(angle)
        )
        result = np.clip(np.rint(moved), 0, 255).astype(np.uint8)[inner]
        assert reached_displacement_px(result, photographs[0], inner, angle, 15.0) == pytest.approx(
            moved_px, abs=0.02
        )


def test_what_is_not_magnified_reaches_what_it_moved(photographs: list[Frame]) -> None:
    trials = list(subpixel_test(unmagnified, photographs, displacements_px=(0.05, 1.0)))
    assert [trial.reached_px for trial in trials] == pytest.approx([0.05, 1.0], abs=0.05)
    assert all(trial.ssim == trial.ssim_unmagnified for trial in trials)
    assert trials[0].ssim < 0.9


def test_more_noise_is_judged_worse(photographs: list[Frame]) -> None:
    scores = [
        next(
            iter(subpixel_test(unmagnified, photographs, displacements_px=(1.0,), noise_grey_levels=sigma))
        ).ssim
        for sigma in (0.0, 4.0, 16.0)
    ]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[2] > 0.05


def test_a_still_frame_left_alone_is_perfect(photographs: list[Frame]) -> None:
    assert still_frame_ssim(unmagnified, photographs) == 1.0


def test_small_or_missing_photographs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageFault, match="no such folder"):
        read_evaluation_photographs(tmp_path / "absent")
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "small.png")
    with pytest.raises(ImageFault, match="no photograph of at least 288 px"):
        read_evaluation_photographs(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ImageFault, match=r"broken\.png"):
        read_evaluation_photographs(tmp_path)


def test_the_table_is_written_whole(tmp_path: Path) -> None:
    write_csv([{"d": 0.5, "ssim": 0.7}, {"d": 1.0, "ssim": 0.8}], tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().split() == ["d,ssim", "0.5,0.7", "1.0,0.8"]
