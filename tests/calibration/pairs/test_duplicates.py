"""Near-duplicates: idle repeats are alike whatever the noise; light, weather, things and motion are not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tremorscope.calibration.pairs.duplicates import Signature

Y, X = np.mgrid[:180, :320]
SCENE = 110 + 60 * np.sin(X / 9.0) * np.cos(Y / 7.0) + 20 * (X > 160)


def filmed(
    scene: NDArray[np.float64] = SCENE, *, light: float = 1.0, noise: float = 2.0, seed: int = 0
) -> NDArray[np.uint8]:
    noisy = light * scene[..., None] + np.random.default_rng(seed).normal(0, noise, (180, 320, 3))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def pair(**conditions: float) -> Signature:
    return Signature.of(filmed(seed=1, **conditions), filmed(seed=2, **conditions))


@given(seed=st.integers(10, 10_000), noise=st.floats(0.5, 8), shift=st.floats(0, 0.7))
@settings(max_examples=40, deadline=None)
def test_idle_repeats_are_alike_whatever_the_noise_and_the_vibration(
    seed: int, noise: float, shift: float
) -> None:
    moved = 110 + 60 * np.sin((X - shift) / 9.0) * np.cos(Y / 7.0) + 20 * (X > 160)
    now = Signature.of(filmed(noise=noise, seed=1), filmed(noise=noise, seed=2))
    later = Signature.of(filmed(moved, noise=noise, seed=seed), filmed(moved, noise=noise, seed=seed + 1))
    assert now.alike(later)
    assert later.alike(now)


@pytest.mark.parametrize("light", [0.2, 0.9, 0.97, 1.03, 1.3])
def test_a_change_of_light_of_three_per_cent_is_new(light: float) -> None:
    assert not pair().alike(pair(light=light))


def test_a_change_of_light_of_one_per_cent_is_not() -> None:
    assert pair().alike(pair(light=1.01))


def test_a_lorry_fog_and_stronger_motion_are_new() -> None:
    lorry = SCENE.copy()
    lorry[120:160, 200:260] = 30
    fog = 0.9 * SCENE + 0.1 * SCENE.mean()
    still = Signature.of(filmed(seed=1), filmed(seed=2))
    assert not still.alike(Signature.of(filmed(lorry, seed=3), filmed(lorry, seed=4)))
    assert not still.alike(Signature.of(filmed(fog, seed=3), filmed(fog, seed=4)))
    swinging = Signature.of(filmed(seed=3), filmed(np.roll(SCENE, 1, 1), seed=4))
    assert not still.alike(swinging)


def test_one_picture_twice_is_frozen_and_noise_is_not() -> None:
    picture = filmed()
    assert Signature.of(picture, picture.copy()).frozen
    assert not pair().frozen


def test_a_signature_survives_the_manifest() -> None:
    signature = pair()
    again = Signature.decoded(signature.encoded(), signature.change)
    assert np.array_equal(again.cells, signature.cells)
    assert again.alike(signature)
