"""Drawn pairs: the same for the same seed, of the motion that they state, with noise; and a set of them on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import run_command

from tremorscope.calibration.errors import CalibrationFault
from tremorscope.calibration.judging.noise_floor import apparent_displacements_px
from tremorscope.calibration.pairs import drawn
from tremorscope.calibration.pairs.calibration_set import CalibrationSet, drawn_pairs
from tremorscope.calibration.pairs.draw_set import draw_set
from tremorscope.runtime.engines.interface.manifest import FrameSize

SIZE = FrameSize(width_px=160, height_px=96)


def test_a_pair_depends_on_the_seed_and_its_number_alone() -> None:
    first, again = list(drawn_pairs(SIZE, 3, seed=5)), list(drawn.draw(SIZE, 3, 5, first=1))
    assert np.array_equal(first[2].frame, again[1].frame)
    assert np.array_equal(first[2].reference, again[1].reference)
    other = next(iter(drawn_pairs(SIZE, 1, seed=6)))
    assert not np.array_equal(first[0].frame, other.frame)


def test_displacements_reach_from_a_hundredth_to_two_pixels_in_turn() -> None:
    assert drawn.displacement_of(0) == pytest.approx(0.01)
    assert drawn.displacement_of(11) == pytest.approx(2.0)
    stated = {(index * 5) % 12 for index in range(12)}
    assert stated == set(range(12))


def test_the_pictures_move_by_no_more_than_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn, "_MOST_NOISE_GREY_LEVELS", 0.0)
    for pair in drawn_pairs(FrameSize(width_px=256, height_px=256), 8, seed=1):
        assert pair.displacement_px is not None
        assert pair.frame.shape == pair.reference.shape == (256, 256, 3)
        moved = np.hypot(*apparent_displacements_px(pair.frame, pair.reference).T)
        assert np.median(moved) < pair.displacement_px + 0.05
        if pair.displacement_px > 0.5:
            assert moved.max() > 0.2 * pair.displacement_px


def test_a_drawn_set_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    whole = draw_set(tmp_path / "whole", SIZE, 34, 3, reserve_bytes=0)

    def interrupt(done: int, _total: int | None) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        draw_set(tmp_path / "parts", SIZE, 34, 3, interrupt, reserve_bytes=0)
    with pytest.raises(CalibrationFault, match="not finished: 20 of 34"):
        CalibrationSet.open(tmp_path / "parts")
    assert draw_set(tmp_path / "parts", SIZE, 34, 3, reserve_bytes=0).sha256 == whole.sha256
    with pytest.raises(CalibrationFault, match="holds another set"):
        draw_set(tmp_path / "parts", SIZE, 34, 4, reserve_bytes=0)


def test_a_set_is_drawn_and_shown_by_commands(tmp_path: Path) -> None:
    done = run_command("calibrate", "draw", "--size", "64x48", "--count", 32, "-o", tmp_path / "set")
    assert done.returncode == 0, done.stderr
    done = run_command("calibrate", "show", tmp_path / "set", "--verify", "--sheet", tmp_path / "sheet.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("32 of 32 pairs of 64x48 px from drawn, seed 0, complete\n")
    assert "every file is as it was sealed" in done.stdout
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    brightness, change = (part.splitlines()[1:9] for part in done.stdout.split("\n\n")[1:3])
    assert sum(int(line.split()[3]) for line in brightness) == 32
    assert sum(int(line.split()[3]) for line in change) == 32
