"""The effect picture is drawn without a display, and written whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.reports.demo_picture import (
    Box,
    Effect,
    TimeSlice,
    Trace,
    VerticalLine,
    save_effect_picture,
)


@pytest.fixture
def effect() -> Effect:
    times = np.arange(60) / 30
    true = 0.1 * np.sin(2 * np.pi * 2 * times)
    slices = TimeSlice(VerticalLine(30, 5, 40)), TimeSlice(VerticalLine(30, 5, 40))
    frame = np.full((48, 64, 3), 200, dtype=np.uint8)
    for number, time_s in enumerate(times):
        for collected in slices:
            frame[:, 30] = number
            collected.add(frame, time_s)
    trace = Trace("mid-span", Box(20, 10, 16, 16), times, true, true, 10 * true)
    return Effect(frame, *slices, 10.0, trace, replace(trace, name="quarter-span"), (2.0,))


def test_is_a_png_that_stays_legible_at_900_px(effect: Effect, tmp_path: Path) -> None:
    save_effect_picture(effect, tmp_path / "effect.png")
    picture = imread(tmp_path / "effect.png")
    assert picture.shape[1] == 1820
    assert 0.5 < picture.shape[0] / picture.shape[1] < 0.75
    assert picture[..., :3].std() > 0.05
    assert [path.name for path in tmp_path.iterdir()] == ["effect.png"]


def test_is_the_same_picture_from_the_same_data(effect: Effect, tmp_path: Path) -> None:
    save_effect_picture(effect, tmp_path / "a.png")
    save_effect_picture(effect, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_that_cannot_be_written_says_where_and_leaves_nothing(effect: Effect, tmp_path: Path) -> None:
    with pytest.raises(OutputFault, match=r"nowhere/effect\.png: cannot be written"):
        save_effect_picture(effect, tmp_path / "nowhere" / "effect.png")
    assert list(tmp_path.iterdir()) == []


def test_needs_no_pyplot() -> None:
    """pyplot keeps global state and looks for a display: a service must not load it."""
    code = (
        "import sys, tremorscope.runtime.reports.demo_picture; sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
