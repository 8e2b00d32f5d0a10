"""Training pairs: exact sub-pixel motion, true amplification, 8-bit inputs, repeatable draws."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tremorscope.model.evaluation.registration import reached_displacement_px
from tremorscope.model.pairs.drawing import draw_picture
from tremorscope.model.pairs.layers import Textures
from tremorscope.model.pairs.pairs import Pairs, _draw_motion, draw_pairs
from tremorscope.model.pairs.settings import PairSettings

SETTINGS = PairSettings(patch_px=48)


@pytest.fixture(scope="module")
def pictures() -> list[Tensor]:
    return [torch.from_numpy(draw_picture(seed, 320)).permute(2, 0, 1) for seed in range(4)]


def same(first: Pairs, second: Pairs) -> bool:
    ours, theirs = (
        [getattr(pairs, f.name) for f in fields(Pairs) if f.name != "layers"] for pairs in (first, second)
    )
    return all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_the_seed_decides_everything(pictures: list[Tensor]) -> None:
    assert same(draw_pairs(pictures, SETTINGS, 2, seed=5), draw_pairs(pictures, SETTINGS, 2, seed=5))
    assert not same(draw_pairs(pictures, SETTINGS, 2, seed=5), draw_pairs(pictures, SETTINGS, 2, seed=6))


def test_inputs_are_eight_bit_and_the_truth_is_not(pictures: list[Tensor]) -> None:
    pairs = draw_pairs(pictures, SETTINGS, 4, seed=1)

    def off_the_grid(frame: Tensor) -> float:
        levels = frame * 255
        return float((levels - levels.round()).abs().max())

    assert off_the_grid(pairs.frame) < 1e-4
    assert off_the_grid(pairs.reference) < 1e-4
    assert off_the_grid(pairs.frame_recoloured) < 1e-4
    assert off_the_grid(pairs.magnified) > 0.4


@pytest.mark.parametrize("shift_px", [0.0, 0.01, 0.37, -1.5, 13.25, 29.9])
@pytest.mark.parametrize("zoom_out", [1.0, 1.37])
def test_translation_is_exact_in_float(shift_px: float, zoom_out: float) -> None:
    """A wave that moves must be, pixel for pixel, the wave at the moved place: to a thousandth of its amplitude."""
    side, patch = SETTINGS.window_px, SETTINGS.patch_px
    period_source_px = 7.0
    x = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    wave = torch.sin(2 * math.pi * x / period_source_px).expand(1, 1, 3, side, side)
    one = torch.ones(1, 1, dtype=torch.float64)
    contrast, brightness = (value * one[..., None, None, None] for value in (1.0, 0.0))
    textures = Textures(wave, contrast, brightness, zoom_out * one, one, patch)
    moved = textures.render(torch.tensor([[[shift_px, 0.0]]], dtype=torch.float64))
    at = torch.arange(patch, dtype=torch.float64) - (patch - 1) / 2
    expected = torch.sin(2 * math.pi * (at - shift_px) * zoom_out / period_source_px)
    assert float((moved[0, 0, 0] - expected).abs().max()) < 1e-3


def test_amplification_is_magnified_over_true_displacement(pictures: list[Tensor]) -> None:
    amplification = 6.0
    settings_ = PairSettings(
        patch_px=96, foreground_layers=0, magnified_motion_max_px=9.0, amplification_min=amplification,
        amplification_max=amplification + 1e-6, still_background_share=0, still_layer_share=0,
        low_contrast_share=0, blurred_share=0, noiseless_share=1, flicker_share=0,
    )  # fmt: skip
    inner = slice(24, -24), slice(24, -24)
    compared = 0
    for seed in range(10):
        pairs = draw_pairs(pictures[:1], settings_, 1, seed=seed)
        motion = _draw_motion(_after_amplification(seed), settings_, pairs.amplification, 1, 1.0)[0, 0]
        angle = math.atan2(float(motion[1]), float(motion[0]))
        scene, frame, magnified = (
            (255 * t[0].permute(1, 2, 0)).round().byte().numpy()
            for t in (pairs.reference, pairs.frame, pairs.magnified)
        )
        small, large = (
            reached_displacement_px(t[inner], scene, inner, angle, 10.0) for t in (frame, magnified)
        )
        assert large == pytest.approx(float(motion.norm()), abs=0.15)
        if small > 0.5:
            compared += 1
            assert large / small == pytest.approx(amplification, rel=0.05)
    assert compared >= 3


def _after_amplification(seed: int) -> torch.Generator:
    """The generator as `draw_pairs` leaves it after drawing one amplification."""
    rng = torch.Generator().manual_seed(seed)
    torch.rand((1,), generator=rng)
    return rng


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    difficulty=st.floats(0.05, 1.0),
    amplification=st.floats(1.0, 300.0),
)
def test_motion_stays_within_both_limits(seed: int, difficulty: float, amplification: float) -> None:
    drawn = torch.full((16,), amplification)
    rng = torch.Generator().manual_seed(seed)
    magnified_px = _draw_motion(rng, SETTINGS, drawn, 3, difficulty).norm(dim=-1)
    assert float(magnified_px.max()) <= difficulty * SETTINGS.magnified_motion_max_px + 1e-4
    assert float((magnified_px / amplification).max()) <= SETTINGS.input_motion_max_px + 1e-4


def test_some_layers_stand_still() -> None:
    rng = torch.Generator().manual_seed(0)
    motion = _draw_motion(rng, SETTINGS, torch.full((4000,), 20.0), 2, 1.0)
    still = (motion.norm(dim=-1) == 0).float().mean(dim=0)
    background = 1 - (1 - SETTINGS.still_layer_share) * (1 - SETTINGS.still_background_share)
    assert float(still[0]) == pytest.approx(background, abs=0.03)
    assert float(still[1]) == pytest.approx(SETTINGS.still_layer_share, abs=0.03)


def test_flicker_is_in_frame_and_truth_alike(pictures: list[Tensor]) -> None:
    steady = PairSettings(patch_px=48, noiseless_share=1.0, still_layer_share=1.0, flicker_share=0.0)
    lit = steady.model_copy(update={"flicker_share": 1.0, "flicker_max": 0.02})
    before, after = (draw_pairs(pictures, settings_, 8, seed=4) for settings_ in (steady, lit))
    assert torch.equal(before.frame, before.reference)
    ratio = after.magnified.mean(dim=(1, 2, 3)) / before.magnified.mean(dim=(1, 2, 3))
    assert 0.005 < float((ratio - 1).abs().max()) <= 0.02
    # Only rounding separates what the input shows from what the truth shows.
    assert float((after.frame - after.magnified).abs().max()) <= 0.5 / 255 + 1e-6


def test_noise_has_the_strength_that_is_asked_for(pictures: list[Tensor]) -> None:
    quiet = PairSettings(patch_px=48, noiseless_share=1.0, still_layer_share=1.0, flicker_share=0)
    loud = quiet.model_copy(update={"noiseless_share": 0.0, "noise_max_grey_levels": 8.0})
    still = draw_pairs(pictures, quiet, 8, seed=3)
    assert torch.equal(still.frame, still.reference)
    noisy = draw_pairs(pictures, loud, 8, seed=3)
    deviation = 255 * (noisy.frame - noisy.reference).std() / math.sqrt(2)
    assert 1.0 < float(deviation) < 8.0


def test_before_a_camera_that_shakes_everything_moves_alike(pictures: list[Tensor]) -> None:
    shaken = PairSettings(
        patch_px=48, magnified_motion_max_px=8, still_background_share=0.0, still_layer_share=0.0,
        moving_whole_share=1.0, structure_share=0.5, two_layers=True,
    )  # fmt: skip
    pairs = draw_pairs(pictures, shaken, 8, seed=4)
    assert pairs.layers is not None
    assert not pairs.layers.mask.any()
    assert torch.equal(pairs.added_px, pairs.added_px[..., :1, :1].expand_as(pairs.added_px))
    assert (pairs.added_px.abs().amax(dim=(1, 2, 3)) > 0).all()
