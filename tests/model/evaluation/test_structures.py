"""The protocol of structures: parts are drawn where they are said to be, and a judge finds what is wrong with them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from tremorscope.model.evaluation.evaluate import Conditions
from tremorscope.model.evaluation.registration import scaled, shifted_rows, turned
from tremorscope.model.evaluation.scenes import Frame
from tremorscope.model.evaluation.straightness import centre_line_px, judge, offsets_px
from tremorscope.model.evaluation.structures import (
    Lattice,
    StructureScene,
    cables,
    neighbouring_cables,
    picture,
    structures,
)
from tremorscope.model.pairs.drawing import draw_picture

DISPLACEMENTS_PX = (0.05, 4.0)


@pytest.fixture(scope="module")
def pictures() -> list[Frame]:
    return [draw_picture(seed, 360) for seed in (1, 4)]


@pytest.fixture(scope="module")
def ground(pictures: list[Frame]) -> NDArray[np.float64]:
    return pictures[0][52:308, 52:308].astype(np.float64)


@pytest.fixture(scope="module", params=["cables", "neighbours", "lattice"])
def thin(request: pytest.FixtureRequest, ground: NDArray[np.float64]) -> StructureScene:
    if request.param == "lattice":
        return Lattice(ground, angle=0.7)
    return {"cables": cables, "neighbours": neighbouring_cables}[request.param](ground, seed=2)


def rounded(exact: NDArray[np.float64]) -> Frame:
    pixels: Frame = np.clip(np.rint(exact), 0, 255).astype(np.uint8)
    return pixels


@pytest.mark.parametrize("displacement_px", DISPLACEMENTS_PX)
def test_a_part_is_where_its_centre_line_says(thin: StructureScene, displacement_px: float) -> None:
    """Measured without the judge: the centre of gravity of the coverage across the line."""
    coverage = thin.coverage(displacement_px)
    for line in thin.lines(displacement_px):
        across = np.arange(-6.0, 6.01, 0.1)
        x = line.x_px[:, None] + across * line.normal_x[:, None]
        y = line.y_px[:, None] + across * line.normal_y[:, None]
        weight = map_coordinates(coverage, (y, x), order=3)
        gravity = (weight * across).sum(axis=1) / weight.sum(axis=1)
        assert np.abs(gravity).mean() < 0.02


def test_cables_swing_in_their_first_mode(ground: NDArray[np.float64]) -> None:
    """Nothing at the ends, all of it in the middle, to a hundredth of a pixel."""
    swinging = cables(ground, seed=0)
    still, moved = (swinging.lines(d)[1] for d in (0.0, 0.05))
    swing = moved.y_px - still.y_px
    assert swing.max() == pytest.approx(0.05, abs=1e-4)
    assert swing[0] == pytest.approx(0.05 * np.sin(np.pi * 20 / 255))


@pytest.mark.parametrize("displacement_px", DISPLACEMENTS_PX)
def test_the_truth_is_straight(thin: StructureScene, displacement_px: float) -> None:
    """Rounded to 8 bits, the judge finds the centre line at its place."""
    assert centre_line_px(rounded(picture(thin, displacement_px)), thin, displacement_px) < 0.1


def test_what_is_not_magnified_is_off_by_what_is_missing(ground: NDArray[np.float64]) -> None:
    """4 px for a lattice that moves as a whole; for cables the root mean square of the mode."""
    lattice = Lattice(ground, angle=0.7)
    assert centre_line_px(rounded(picture(lattice, 0.0)), lattice, 4.0) == pytest.approx(4.0, abs=0.15)
    swinging = cables(ground, seed=2)
    mode = np.sin(np.pi * np.arange(20, 236) / 255)
    expected = 4.0 * np.sqrt(np.mean(mode**2))
    assert centre_line_px(rounded(picture(swinging, 0.0)), swinging, 4.0) == pytest.approx(expected, rel=0.08)


def test_a_wobble_is_measured(ground: NDArray[np.float64]) -> None:
    """A lattice whose rows are shifted by a wave of 0.7 px is off by that wave, point by point."""
    lattice = Lattice(ground, angle=0.0)
    wave = 0.7 * np.sin(2 * np.pi * np.arange(256) / 40)
    coverage = shifted_rows(lattice.coverage(0.0)[..., None], wave)
    wavy = rounded(coverage * lattice.painted(0.0) + (1 - coverage) * ground)
    line = lattice.lines(0.0)[3]
    offsets = offsets_px(wavy, lattice, line)
    expected = np.interp(line.y_px, np.arange(256), wave)[2:-2]
    assert np.sqrt(np.mean((offsets - expected) ** 2)) < 0.25
    assert centre_line_px(wavy, lattice, 0.0) == pytest.approx(0.7 / np.sqrt(2), abs=0.12)


def test_where_a_line_cannot_be_seen_moves_its_rms_not_its_median(ground: NDArray[np.float64]) -> None:
    """A tenth of the cables painted over by the background."""
    swinging = cables(ground, seed=2)
    covered = swinging.coverage(4.0)[..., None] * np.ones((256, 256, 1))
    covered[:, 100:120] = 0.0
    drawn = rounded(covered * swinging.painted(4.0) + (1 - covered) * ground)
    trial = judge({"with a gap": lambda *_: drawn}, "cables", [swinging], Conditions(0.2, 4.0))["with a gap"]
    assert trial.centre_line_median_px < 0.05
    assert trial.centre_line_px > 1.0


def test_turning_growing_and_shifting_are_exact_for_smooth_pictures() -> None:
    """Against a picture of waves, whose turned and grown values are known in closed form."""
    side = 200
    at = np.arange(side) - (side - 1) / 2
    x, y = np.meshgrid(at, at)

    def waves(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.stack([np.cos(0.3 * x + 0.2 * y), np.sin(0.5 * x - 0.1 * y), np.cos(0.4 * y)], axis=-1)

    inner = (slice(60, -60), slice(60, -60))
    radians = 0.11
    cos, sin = np.cos(radians), np.sin(radians)
    expected = waves(x * cos + y * sin, y * cos - x * sin)
    assert np.abs(turned(waves(x, y), radians) - expected)[inner].max() < 0.02
    assert np.abs(scaled(waves(x, y), 1.13) - waves(x / 1.13, y / 1.13))[inner].max() < 0.02
    shift = 0.02 * at
    expected = waves(x - shift[:, None], y)
    assert np.abs(shifted_rows(waves(x, y), shift) - expected)[inner].max() < 0.02


def test_every_kind_is_judged_on_the_same_frames(pictures: list[Frame]) -> None:
    """Who knows the truth is perfect, who does nothing is not; only what is still does not change."""
    kinds = {kind: scenes[:1] for kind, scenes in structures(pictures).items()}
    assert list(kinds) == [
        "cable 2.4 px", "neighbouring cables", "lattice 5 px", "cantilever 60 px", "turning disc",
        "growing disc", "shearing plate",
    ]  # fmt: skip
    for kind, scenes in kinds.items():
        truths = [rounded(picture(scene, 4.0)) for scene in scenes]
        answers = iter(truths)
        trials = judge(
            {"truth": lambda *_: next(answers), "nothing": lambda frame, *_: frame},  # noqa: B023
            kind, scenes, Conditions(0.2, 4.0, noise_grey_levels=1.0),
        )  # fmt: skip
        assert trials["truth"].ssim == pytest.approx(1.0)
        assert trials["nothing"].ssim < 0.9
        assert trials["nothing"].still_change == 0.0
        if kind in ("cable 2.4 px", "neighbouring cables", "lattice 5 px"):
            assert trials["truth"].centre_line_median_px < 0.05
            assert trials["nothing"].centre_line_median_px == pytest.approx(
                trials["nothing"].centre_line_px, rel=0.15
            )
        else:
            assert np.isnan(trials["truth"].centre_line_median_px)
        # The noise of the frame, which the truth is free of: mean absolute value of one grey level, rounded.
        assert trials["truth"].still_change == pytest.approx(0.8, abs=0.1)
