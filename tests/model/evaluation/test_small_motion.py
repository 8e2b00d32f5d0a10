"""The protocol of small motion: a straight method, one that shrinks small motion, and one that does nothing."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.model.evaluation.comparators import unmagnified
from tremorscope.model.evaluation.evaluate import Conditions
from tremorscope.model.evaluation.scenes import Frame, whole_frames
from tremorscope.model.evaluation.small_motion import FRAMES, PERIODS, judge, sinusoid_px, tones
from tremorscope.model.pairs.drawing import draw_picture


def test_tones_of_a_straight_and_of_a_bent_sinusoid() -> None:
    turns = 2 * np.pi * PERIODS / FRAMES * np.arange(FRAMES)
    straight, power = tones(2.0 * np.sin(turns))  # type: ignore[arg-type]
    assert straight == pytest.approx(2.0)
    assert power == pytest.approx(0.0, abs=1e-12)
    bent, power = tones(2.0 * np.sin(turns) + 0.2 * np.sin(3 * turns) + 0.1 * np.cos(2 * turns))  # type: ignore[arg-type]
    assert bent == pytest.approx(2.0)
    assert power == pytest.approx((0.2**2 + 0.1**2) / 2.0**2)
    noisy = 2.0 * np.sin(turns) + np.random.default_rng(1).normal(0, 0.05, FRAMES)
    assert tones(noisy)[1] < 0.02**2, "noise is no harmonic"  # type: ignore[arg-type]


def test_a_dead_zone_shows_as_less_gain_and_as_harmonics() -> None:
    photographs: list[Frame] = [draw_picture(0, 320)]
    scene = whole_frames(photographs)[0]
    asked = Conditions(0.02, 2.0, 1.0)
    drawn: dict[str, list[float]] = {"straight": sinusoid_px(0.02), "dead zone": sinusoid_px(0.02)}

    def method(name: str, zone_px: float) -> object:
        def magnify(_frame: Frame, _reference: Frame, amplification: float) -> Frame:
            true_px = drawn[name].pop(0)
            kept_px = np.sign(true_px) * max(abs(true_px) - zone_px, 0.0)
            return np.asarray(
                np.clip(np.rint(scene.picture(amplification * kept_px)), 0, 255).astype(np.uint8)
            )

        return magnify

    methods = {
        "straight": method("straight", 0.0),
        "dead zone": method("dead zone", 0.004),
        "idle": unmagnified,
    }
    found = judge(methods, photographs, asked)  # type: ignore[arg-type]
    assert found["straight"].gain == pytest.approx(1.0, abs=0.01)
    assert found["straight"].harmonics < 0.01
    assert 0.7 < found["dead zone"].gain < 0.85
    assert found["dead zone"].harmonics > 0.03
    assert found["idle"].gain == pytest.approx(0.01, abs=0.01)
