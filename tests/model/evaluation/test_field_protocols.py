"""The protocols of three publications: what they ask, and that perfect and idle methods get what they must."""

from __future__ import annotations

import numpy as np
import pytest

from tremorscope.model.evaluation.comparators import unmagnified
from tremorscope.model.evaluation.field_protocols import (
    NAMES,
    FieldCase,
    field_cases,
    gaussian_ssim,
    judge,
    psnr_db,
)
from tremorscope.model.evaluation.scenes import Frame
from tremorscope.model.pairs.drawing import draw_picture


@pytest.fixture(scope="module")
def photographs() -> list[Frame]:
    return [draw_picture(seed, 320) for seed in (0, 1)]


def test_the_cases_are_the_published_ones(photographs: list[Frame]) -> None:
    cases = {name: field_cases(name, photographs) for name in NAMES}
    axial = [each.conditions for each in cases["axial"]]
    assert [each.displacement_px for each in axial[:15]][::7] == [0.04, 0.2, 1.0]
    assert all(each.target_px == 10.0 for each in axial)
    noise = [each.noise_grey_levels for each in axial[15:]]
    assert len(noise) == 21
    assert (noise[0], noise[1], noise[10], noise[20]) == (0.01, 0.0158, 1.0, 100.0)
    assert {each.displacement_px for each in axial[15:]} == {0.05}
    by_alpha, by_noise = (
        [each for each in cases["fd4mm"] if each.kind == k] for k in ("amplification", "noise")
    )
    assert [round(each.conditions.amplification) for each in by_alpha] == [5, 10, 20, 50, 100]
    assert [each.conditions.noise_grey_levels for each in by_noise] == pytest.approx(
        [2.55, 12.75, 25.5, 51.0]
    )
    assert [each.kind for each in cases["geomag"]] == ["translation", "rotation", "noise", "blur"]


@pytest.mark.parametrize(("name", "number"), [("axial", 7), ("fd4mm", 4), ("geomag", 1), ("geomag", 3)])
def test_a_perfect_method_gets_everything_and_an_idle_one_loses(
    photographs: list[Frame], name: str, number: int
) -> None:
    case = field_cases(name, photographs)[number]
    asked, scenes = case.conditions, list(case.scenes)

    def perfect(_frame: Frame, _reference: Frame, amplification: float) -> Frame:
        exact = scenes.pop(0)(amplification * asked.displacement_px)
        return np.asarray(np.clip(np.rint(exact), 0, 255).astype(np.uint8))

    found = judge({"perfect": perfect, "idle": unmagnified}, case)
    assert found["perfect"].ssim == pytest.approx(1.0)
    assert found["perfect"].psnr_db == pytest.approx(58.9, abs=0.1)
    assert found["idle"].ssim < 0.95
    assert found["idle"].psnr_db < 40
    assert found["idle"].kind == case.kind


def test_both_layers_of_the_axial_scenes_move_by_as_much(photographs: list[Frame]) -> None:
    """Each along a direction of its own: far from the disc's edge the picture is one layer, exactly shifted."""
    scene = field_cases("axial", photographs)[0].scenes[0]
    middle, corner = (slice(120, 136),) * 2, (slice(20, 36),) * 2
    for where in (middle, corner):
        moved = np.abs(scene(1.0)[where] - scene(0.0)[where]).mean()
        twice = np.abs(scene(0.5)[where] - scene(0.0)[where]).mean()
        assert moved > 1.5 * twice > 0


def test_noise_is_that_of_both_inputs_and_not_of_the_truth() -> None:
    seen: list[tuple[Frame, Frame]] = []

    def flat(_displacement_px: float) -> np.ndarray:
        return np.full((256, 256, 3), 100.0)

    def watching(frame: Frame, reference: Frame, _amplification: float) -> Frame:
        seen.append((frame, reference))
        return np.full_like(frame, 100)

    from tremorscope.model.evaluation.evaluate import Conditions

    (found,) = judge({"": watching}, FieldCase("noise", Conditions(0.1, 1.0, 5.0), (flat,))).values()
    assert found.psnr_db == pytest.approx(58.9, abs=0.1), "the truth is free of noise"
    for frame, reference in seen:
        assert frame.std() == pytest.approx(5.0, rel=0.02)
        assert reference.std() == pytest.approx(5.0, rel=0.02)
        assert (frame != reference).mean() > 0.9


def test_ssim_and_psnr_are_those_of_their_definitions() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(60, 200, (64, 64, 3), dtype=np.uint8)
    assert psnr_db(np.asarray(truth + np.uint8(5)), truth) == pytest.approx(20 * np.log10(255 / 5))
    # Of a constant shift only the luminance term is below one: 2ab / (a^2 + b^2), per window of the truth's mean.
    flat = np.full((64, 64, 3), 100, np.uint8)
    expected = (2 * 100 * 120 + 6.5025) / (100**2 + 120**2 + 6.5025)
    assert gaussian_ssim(np.asarray(flat + np.uint8(20)), flat) == pytest.approx(expected, rel=1e-6)
    # The border is not judged.
    framed = truth.copy()
    framed[:3], framed[-3:], framed[:, :3], framed[:, -3:] = 0, 0, 0, 0
    assert psnr_db(framed, truth) > 58
