"""A recording in which the camera is knocked: a gap, regions found again, and no faked displacement."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scenes import filmed, shifted, textured

from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.regions import Region

RATE_HZ, SECONDS, KNOCKED_S = 12, 14, 8.0
TONE_HZ, TONE_PX = 2.0, 0.2
REGIONS = (Region(40, 50, 32, 32), Region(90, 90, 32, 32))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene that vibrates, and is shifted by (9, -6) px at once."""
    rng, scene = np.random.default_rng(0), textured(2)
    frames = []
    for time_s in np.arange(RATE_HZ * SECONDS) / RATE_HZ:
        x_px, y_px = (9.0, -6.0) if time_s >= KNOCKED_S else (0.0, 0.0)
        tone = TONE_PX * np.sin(2 * np.pi * TONE_HZ * time_s)
        frames.append(filmed(shifted(scene, x_px + tone, y_px), rng).astype(np.uint8))
    path = tmp_path_factory.mktemp("knock") / "knocked.npy"
    np.save(path, np.stack(frames))
    return path


def test_a_knocked_camera_leaves_a_gap_and_no_step(clip: Path) -> None:
    found = measure_clip(MeasureJob(clip, None, REGIONS, capture_rate_hz=RATE_HZ))
    (note,) = [each for each in found.notes() if "knocked" in each]
    assert "at 8.0 s the camera was knocked: the view moved by +9" in note
    for region in found.analysis.regions:
        moved = region.series.x_px
        known = np.isfinite(moved)
        gone = found.times_s[~known]
        assert gone.min() == pytest.approx(KNOCKED_S)
        assert 0.4 < np.ptp(gone) < 3.0
        assert known[found.times_s > gone.max()].all()
        assert np.abs(moved[known]).max() < 3 * TONE_PX
    assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(TONE_HZ, abs=0.05)
    assert found.analysis.findings[0].peak.amplitude == pytest.approx(TONE_PX, rel=0.1)
