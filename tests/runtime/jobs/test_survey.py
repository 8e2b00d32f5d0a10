"""The first pass over a clip: the reference is shown in colours, however deep the clip is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.jobs.samples import Span
from tremorscope.runtime.jobs.survey import look_through


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Forty frames of 12 bits at 50 frames/s, each brighter than the one before."""
    rng = np.random.default_rng(0)
    frames = rng.integers(400, 600, (40, 48, 64)) + 80 * np.arange(40)[:, None, None]
    np.save(tmp_path / "deep.npy", frames.astype(np.uint16))
    return tmp_path / "deep.npy"


def test_the_reference_of_a_deep_clip_is_shown_as_it_is_measured(deep: Path) -> None:
    survey = look_through(deep, Span(0.1, reference=0.5), (), capture_rate_hz=50.0)
    assert survey.skipped == 5
    assert survey.bit_depth == 12
    assert survey.shown.shape == (48, 64, 3)
    assert survey.shown.dtype == np.uint8
    assert survey.samples[0].shape == (48, 64)
    assert np.abs(survey.shown.mean(axis=2) - survey.samples[0]).max() <= 1
    assert "displacement is measured against the frame at 0.500 s" in survey.notes


def test_a_part_that_is_too_short_is_told(deep: Path) -> None:
    with pytest.raises(ClipFault, match=r"15 frames from 0.5 s on are too few"):
        look_through(deep, Span(0.5), (), capture_rate_hz=50.0)
