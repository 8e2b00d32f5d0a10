"""Regions are chosen for a recording: what moves is preferred, and what is no rigid part is left out."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import filmed, overlap, shifted, textured

from tremorscope.runtime.errors import OptionFault
from tremorscope.runtime.vibration.displacement.choosing import choose_regions
from tremorscope.runtime.vibration.displacement.regions import Region


def frames(count: int = 10) -> list[np.ndarray]:
    """A still wall of texture, in which a richer patch sways."""
    rng = np.random.default_rng(0)
    wall = np.tile(textured(1, exponent=1.5), (2, 4))
    patch = textured(2, exponent=0.5)
    pictures = []
    for number in range(count):
        scene = wall.copy()
        scene[160:320, 320:480] = shifted(patch, 0.3 * np.sin(2.1 * number), 0)
        pictures.append(np.repeat(filmed(scene, rng)[..., None], 3, axis=2).astype(np.uint8))
    return pictures


def test_what_moves_is_among_them() -> None:
    chosen = choose_regions(frames(), 4)[0]
    assert len(chosen) == 4
    centres = [region.centre_px for region in chosen]
    assert any(320 < x < 480 and 160 < y < 320 for x, y in centres)
    assert list(chosen) == sorted(chosen, key=lambda region: (region.x_px, region.y_px))


def test_still_regions_are_not_chosen_again() -> None:
    still = Region(0, 0, 320, 320)
    chosen = choose_regions(frames(), 3, still=[still])[0]
    assert len(chosen) == 3
    assert not any(overlap(region, still) for region in chosen)


def test_a_scene_that_is_another_in_every_frame_has_none() -> None:
    rng = np.random.default_rng(3)
    chaos = [
        np.repeat(filmed(np.tile(textured(seed), (2, 2)), rng)[..., None], 3, axis=2).astype(np.uint8)
        for seed in range(8)
    ]
    with pytest.raises(OptionFault, match="none of the proposed regions holds still"):
        choose_regions(chaos, 3)
