"""A camera's motion is taken out to hundredths of a pixel, and the structure's is kept."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import PoleBehindMovingCamera

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.regions import Region
from tremorscope.runtime.vibration.displacement.steady import CameraMotion, SteadyMeter, find_camera
from tremorscope.runtime.vibration.displacement.warping import FeatureAligner, moved, shift_by, warped

POLE = Region(146, 24, 28, 40), Region(146, 90, 28, 40)
WALL = Region(50, 40, 48, 48), Region(230, 150, 48, 48)
FRAMES = 30


@pytest.mark.parametrize("kind", ["handheld", "drone"])
def test_what_is_left_and_what_is_kept(kind: str) -> None:
    scene = PoleBehindMovingCamera(kind, FRAMES)
    frames = [scene.frame(number) for number in range(FRAMES)]
    samples = [frames[number] for number in (0, 3, 7, 10, 13, 18, 22, 25, 29)]
    camera, _, _ = find_camera(samples, "similarity")
    on_pole = [each for each in camera.still if abs(each.centre_px[0] - 160) < 20 + each.width_px / 4]
    assert all(scene.true_px(each) < 0.1 for each in on_pole)  # its foot may be among them
    meter = SteadyMeter(frames[0], (*POLE, *WALL), camera)
    meter.learn_noise(samples)
    found = [meter.measure(frame) for frame in frames]
    motion = np.array([[(each.x_px, each.y_px) for each in row] for row in found])  # (frames, regions, 2)
    angles = 2 * np.pi * scene.sway_hz * scene.times_s
    waves = np.stack([np.sin(angles), np.cos(angles), np.ones(FRAMES)], axis=1)
    for at, region in enumerate(POLE):
        amplitude = np.hypot(*np.linalg.lstsq(waves, motion[:, at, 0], rcond=None)[0][:2])
        assert amplitude == pytest.approx(scene.true_px(region), rel=0.03)
    assert motion[:, 2:].std(axis=0).max() < 0.05


def test_a_few_still_regions_are_refused_with_the_remedy() -> None:
    frame = PoleBehindMovingCamera("standing", 2).frame(0)
    with pytest.raises(OptionFault, match=r"2 still regions are too few.*--still"):
        CameraMotion(frame, WALL, "similarity")


def test_a_picture_is_laid_back_exactly() -> None:
    y, x = np.mgrid[:80, :96].astype(float)

    def wave(across: np.ndarray, down: np.ndarray) -> np.ndarray:
        return 128 + 60 * np.sin(across / 3.1 + down / 4.7)

    part = Region(20, 20, 40, 40)
    for step in (0.013, 0.26, 0.5, 1.77):
        laid = warped(wave(x, y), shift_by(step, -step), part)
        true = wave(x[20:60, 20:60] + step, y[20:60, 20:60] - step)
        assert np.abs(laid - true).max() < 0.1  # a shift of 0.005 px would leave as much


def test_correlation_takes_over_where_features_are_few() -> None:
    scene = PoleBehindMovingCamera("standing", 2)
    frame = scene.frame(0)
    aligner = FeatureAligner(frame, "translation", np.zeros(frame.shape[:2], bool))
    laid = np.clip(np.rint(warped(frame, shift_by(-1.5, 0.75), Region(0, 0, 320, 240))), 0, 255).astype(
        np.uint8
    )
    matrix = aligner.find(laid, np.eye(3))
    assert matrix is not None
    assert moved(matrix, np.zeros((1, 2)))[0] == pytest.approx((1.5, -0.75), abs=0.05)
