"""The noise floor: motion that is known comes out as it is, and noise in proportion to itself."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tremorscope.calibration.judging.noise_floor import apparent_displacements_px, noise_floor_px
from tremorscope.model.evaluation.registration import ShiftedScene
from tremorscope.model.pairs.drawing import draw_picture

Picture = NDArray[np.uint8]


@pytest.fixture(scope="module")
def picture() -> Picture:
    return draw_picture(4, 256)


def moved(picture: Picture, x_px: float, y_px: float, noise: float = 0.0) -> Picture:
    shifted = ShiftedScene(picture.astype(float)).shifted(x_px, y_px)
    noisy = shifted + np.random.default_rng(0).normal(0, noise, shifted.shape)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("motion", [(0.0, 0.0), (0.3, -0.2), (1.5, 1.0), (-2.5, 3.0)])
def test_a_known_motion_is_found_under_noise_and_another_light(
    picture: Picture, motion: tuple[float, float]
) -> None:
    darker = (0.8 * moved(picture, *motion, noise=2.0) + 9).astype(np.uint8)
    found = np.median(apparent_displacements_px(darker, picture), axis=0)
    assert found == pytest.approx(motion, abs=0.03)


def test_the_floor_is_the_rms_of_what_is_seen_to_move_over_the_amplification(picture: Picture) -> None:
    def hallucinating(_frame: Picture, _reference: Picture, _amplification: float) -> Picture:
        return moved(picture, 0.9, -0.5)

    floor = noise_floor_px(hallucinating, [picture], 20.0, 1.0)
    assert floor == pytest.approx(np.hypot(0.9, 0.5) / np.sqrt(2) / 20.0, rel=0.03)


def test_the_floor_grows_with_the_noise(picture: Picture) -> None:
    def untouched(frame: Picture, _reference: Picture, _amplification: float) -> Picture:
        return frame

    low, high = (noise_floor_px(untouched, [picture], 1.0, sigma) for sigma in (2.0, 8.0))
    assert 0.0005 < low < 0.02
    assert high / low == pytest.approx(4.0, rel=0.3)
