"""Regions lie in one body each, on what moves, and never on what a recorder wrote over the picture."""

from __future__ import annotations

import numpy as np
import pytest
from scenes import filmed, overlap, rgb, shifted, textured

from tremorscope.runtime.vibration.displacement.choosing import choose_regions
from tremorscope.runtime.vibration.displacement.coherence import BACKGROUND, segment
from tremorscope.runtime.vibration.displacement.overlays import find_overlays
from tremorscope.runtime.vibration.displacement.regions import Region

WALL = np.tile(textured(1, exponent=1.5), (2, 2))
PHASES = 2.1 * np.arange(10)


def put(scene: np.ndarray, patch: np.ndarray, left: int, top: int, x_px: float) -> None:
    rows, columns = patch.shape
    scene[top : top + rows, left : left + columns] = patch if x_px == 0 else shifted(patch, x_px, 0)


def within(region: Region, body: Region, slack_px: int = 8) -> bool:
    """True where a region lies in a body, but for a rim of what the body uncovers."""
    return (
        region.x_px >= body.x_px - slack_px
        and region.y_px >= body.y_px - slack_px
        and region.x_px + region.width_px <= body.x_px + body.width_px + slack_px
        and region.y_px + region.height_px <= body.y_px + body.height_px + slack_px
    )


def test_no_region_straddles_two_bodies_that_move_against_each_other() -> None:
    rng = np.random.default_rng(0)
    bodies = Region(96, 60, 40, 160), Region(136, 60, 40, 160)
    frames = []
    for phase in PHASES:
        scene = np.full((280, 280), 128.0)
        put(scene, textured(2, 0.8)[:, :40], 96, 60, 0.0)
        for body, sign in zip(bodies, (1, -1), strict=True):
            patch = shifted(textured(3 + sign, 0.8), 0.8 * sign * np.sin(phase), 0)[:160, :40]
            put(scene, patch, body.x_px, body.y_px, 0.0)
        frames.append(rgb(filmed(scene, rng)))
    chosen = choose_regions(frames, 6)[0]
    assert len(chosen) >= 4
    assert all(any(within(region, body) for body in bodies) for region in chosen)
    for body in bodies:
        assert any(within(region, body) for region in chosen)


def test_what_is_small_and_moves_is_not_missed() -> None:
    rng = np.random.default_rng(1)
    places = ((60, 60), (200, 90), (120, 230))
    y, x = np.mgrid[:320, :320]
    frames = []
    for phase in PHASES:
        scene = 100 + 0.5 * (WALL - 128)
        for number, (left, top) in enumerate(places):
            at = left + 1.5 * np.sin(phase + number)
            blob = 1 / (1 + np.exp((np.hypot(x - at, y - top) - 10) / 0.8))
            scene = scene + blob * (220 - scene)
        frames.append(rgb(filmed(scene, rng)))
    chosen = choose_regions(frames, 6)[0]
    for left, top in places:
        assert any(np.hypot(r.centre_px[0] - left, r.centre_px[1] - top) < 16 for r in chosen), (left, top)


def framed(number: int, rng: np.random.Generator) -> np.ndarray:
    """A wall with bars above and below, a label that never changes, and a clock that does."""
    grey = filmed(WALL, rng, 2.0)
    grey[:32], grey[-32:] = 16, 16
    for left, text in ((40, 0b1011001110001111), (200, 0b1010011100110101 ^ (number * 37))):
        grey[44:64, left : left + 80] = 40
        for bit in range(16):
            if text >> bit & 1:
                grey[48:60, left + 5 * bit : left + 5 * bit + 3] = 235
    return rgb(grey)


def test_bars_labels_and_clocks_are_left_out() -> None:
    rng = np.random.default_rng(2)
    frames = [framed(number, rng) for number in range(10)]
    masked = find_overlays(frames)
    assert masked[:32].all()
    assert masked[-32:].all()
    assert masked[44:64, 40:120].mean() > 0.95
    assert masked[44:64, 200:280].mean() > 0.95
    assert masked[80:280].mean() < 0.02
    taken = Region(0, 0, 320, 34), Region(0, 286, 320, 34), Region(40, 44, 80, 20), Region(200, 44, 80, 20)
    chosen = choose_regions(frames, 8)[0]
    assert len(chosen) == 8
    assert not any(overlap(region, other) for region in chosen for other in taken)


def test_an_overexposed_sky_is_no_label() -> None:
    rng = np.random.default_rng(3)
    scene = WALL.copy()
    scene[:120] = 300
    assert not find_overlays([rgb(filmed(scene, rng, 2.0)) for _ in range(8)])[130:].any()


def test_the_background_is_what_most_cells_follow() -> None:
    rng = np.random.default_rng(4)
    frames = []
    for phase in PHASES:
        scene = np.tile(
            shifted(textured(1, exponent=1.2), 2 * np.sin(phase), 1.5 * np.cos(1.3 * phase)), (2, 2)
        )
        scene[100:180, 100:180] = shifted(textured(5, 0.8), 3 * np.sin(1.7 * phase), 0)[:80, :80]
        frames.append(rgb(filmed(scene, rng)))
    found = segment(frames)
    x, y = found.cells.centre_px.T
    body = (np.abs(x - 140) < 24) & (np.abs(y - 140) < 24)
    wall = (np.abs(x - 140) > 56) | (np.abs(y - 140) > 56)
    path = np.stack([2 * np.sin(PHASES), 1.5 * np.cos(1.3 * PHASES)])
    assert np.sqrt((found.camera_px[wall] ** 2).sum(axis=2).mean()) == pytest.approx(
        np.sqrt(((path - path[:, :1]) ** 2).sum(axis=0).mean()), rel=0.05
    )
    assert (found.label[wall] == BACKGROUND).mean() > 0.9
    assert (found.label[body] > BACKGROUND).mean() > 0.8


def test_a_background_that_moves_keeps_regions_enough_to_show_it() -> None:
    rng = np.random.default_rng(6)
    frames = []
    for phase in PHASES:
        shake = 0.5 * np.sin(2.3 * phase)
        scene = np.tile(shifted(textured(1, exponent=1.2), shake, 0), (2, 2))
        mast = np.tile(shifted(textured(5, exponent=1.2), shake + 0.6 * np.sin(phase), 0), (2, 2))
        scene[:, 20:110] = mast[:, 20:110]
        frames.append(rgb(filmed(scene, rng)))
    chosen, background = choose_regions(frames, 8)
    assert len(chosen) == 8
    assert len(background) >= 3
    assert all(chosen[at].x_px >= 110 - 8 or chosen[at].x_px + chosen[at].width_px <= 28 for at in background)
