"""Clips whose frames repeat, or whose times are rounded: what is measured is what moved, and no more."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scenes import shifted, textured
from support import Picture, write_clip

from tremorscope.runtime.errors import ClipFault
from tremorscope.runtime.frames.repeats import RepeatFinder
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.reports.measurement import Measurement
from tremorscope.runtime.vibration.displacement.regions import Region

MOVING, STILL = Region(40, 48, 48, 64), Region(190, 48, 48, 64)


def filmed(count: int, rate_hz: float, *, hz: float = 3.0, px: float = 0.4) -> Iterator[Picture]:
    """The left of the picture moves along x, the right stands still; with a camera's noise."""
    rng, moving, still = np.random.default_rng(9), textured(0), textured(1)
    for number in range(count):
        moved = shifted(moving, px * math.sin(2 * math.pi * hz * number / rate_hz), 0)
        whole = np.concatenate([moved, still], axis=1)
        grey = np.clip(np.rint(whole + 0.5 * rng.standard_normal(whole.shape)), 0, 255).astype(np.uint8)
        yield np.repeat(grey[..., None], 3, axis=2)


def measured(clip: Path, tmp_path: Path) -> Measurement:
    return measure_clip(MeasureJob(clip, tmp_path / "out", (MOVING,), (STILL,)))


def lossless(path: Path, frames: list[Picture] | Iterator[Picture], rate: int) -> Path:
    return write_clip(path, frames, codec="ffv1", pixel_format="gray", rate=rate)


@pytest.mark.parametrize(("source", "stored"), [(15, 30), (25, 30), (24, 30)])
def test_a_conversion_to_a_higher_rate_makes_no_tone(source: int, stored: int, tmp_path: Path) -> None:
    frames = list(filmed(5 * source, source))
    converted = [frames[number * source // stored] for number in range(5 * stored)]
    found = measured(lossless(tmp_path / "c.mkv", converted, stored), tmp_path)
    (finding,) = found.analysis.findings
    assert finding.peak.frequency_hz == pytest.approx(3.0, abs=0.005)
    assert finding.peak.amplitude == pytest.approx(0.4, rel=0.02)
    assert found.analysis.rate_hz == pytest.approx(source, rel=1e-3)
    repeated = 5 * (stored - source)
    assert any(note.startswith(f"{repeated} of {5 * stored} frames repeat") for note in found.notes())


def test_a_stall_is_a_gap(tmp_path: Path) -> None:
    frames = list(filmed(300, 30))
    frames[120:150] = [frames[119]] * 30
    found = measured(lossless(tmp_path / "c.mkv", frames, 30), tmp_path)
    (finding,) = found.analysis.findings
    assert finding.peak.frequency_hz == pytest.approx(3.0, abs=0.005)
    assert finding.peak.amplitude == pytest.approx(0.4, rel=0.02)
    ((_, _, missing),) = found.analysis.gaps
    assert missing == 30
    assert any(note.startswith("30 of 300 frames repeat the one before") for note in found.notes())


def test_a_frozen_recording_is_told(tmp_path: Path) -> None:
    frames = [next(filmed(1, 30))] * 60
    found = measured(lossless(tmp_path / "c.mkv", frames, 30), tmp_path)
    assert found.analysis.findings == ()
    assert "all 60 frames are one picture: the recording stands still" in found.notes()


def test_a_recording_without_repeats_is_left_alone(tmp_path: Path) -> None:
    found = measured(lossless(tmp_path / "c.mkv", filmed(90, 30), 30), tmp_path)
    assert found.times_s.size == 90
    assert not any("repeat" in note for note in found.notes())


@pytest.mark.parametrize(("rate", "hz"), [(240, 60.0), (120, 25.0)])
def test_times_in_whole_milliseconds_cost_no_frequency(rate: int, hz: float, tmp_path: Path) -> None:
    found = measured(lossless(tmp_path / "c.mkv", filmed(rate, rate, hz=hz, px=0.3), rate), tmp_path)
    peak = found.analysis.findings[0].peak
    assert abs(peak.frequency_hz - hz) < 3 * peak.frequency_sigma_hz
    assert found.analysis.rate_hz == pytest.approx(rate, rel=1e-6)


@pytest.mark.parametrize("burst", [2, 3])
def test_frames_stamped_as_they_arrived_in_bursts_are_told_and_measured_at_a_stated_rate(
    burst: int, tmp_path: Path
) -> None:
    ticks = [90000 * burst * (number // burst) // 30 + 90 * (number % burst) for number in range(120)]
    clip = write_clip(tmp_path / "c.mp4", filmed(120, 30), rate=30, ticks=ticks, time_base=Fraction(1, 90000))
    with pytest.raises(ClipFault, match=f"frames come in bursts of {burst}.* not known: .*--capture-fps 30"):
        measured(clip, tmp_path)
    found = measure_clip(MeasureJob(clip, None, (MOVING,), (STILL,), capture_rate_hz=30.0))
    (finding,) = found.analysis.findings
    assert finding.peak.frequency_hz == pytest.approx(3.0, abs=0.005)
    assert finding.peak.amplitude == pytest.approx(0.4, rel=0.02)
    assert any(note.startswith(f"frames come in bursts of {burst}") for note in found.notes())


def test_the_usual_window_fits_a_time_lapse(tmp_path: Path) -> None:
    """Sixty pictures, one in five seconds."""
    ticks = [5 * number for number in range(60)]
    clip = write_clip(
        tmp_path / "c.mp4", filmed(60, 0.2, hz=0.033), rate=30, ticks=ticks, time_base=Fraction(1)
    )
    found = measured(clip, tmp_path)
    assert found.analysis.findings[0].peak.frequency_hz == pytest.approx(0.033, abs=2e-4)
    assert found.analysis.findings[0].peak.amplitude == pytest.approx(0.4, rel=0.02)


@pytest.mark.parametrize(("hz", "rate_hz"), [(60.0, 240.0), (64.0, 500.0), (12.5, 50.0), (3.0, 30.0)])
@pytest.mark.parametrize("phase", [0.0, math.pi / 4])
def test_turning_points_of_a_large_motion_are_no_repeats(hz: float, rate_hz: float, phase: float) -> None:
    """As in a film of a tuning fork: at its turning points the whole picture changes by the camera's noise alone."""
    rng, scene, finder = np.random.default_rng(9), textured(0), RepeatFinder()
    for number in range(60):
        moved = shifted(scene, 4.0 * math.sin(2 * math.pi * hz * number / rate_hz + phase), 0)
        finder.add((moved + 0.5 * rng.standard_normal(moved.shape)).astype(np.float32))
    found = finder.find(np.arange(60) / rate_hz, np.ones(60, bool))
    assert (int(found.repeated.sum()), found.cycle, found.all_one) == (0, None, False)


@pytest.mark.parametrize(("per_cycle", "amplitude_px"), [(10, 0.4), (12, 0.4), (8, 4.0)])
def test_turning_points_that_compression_smooths_are_no_conversion(
    per_cycle: int, amplitude_px: float, tmp_path: Path
) -> None:
    """A tone of a tenth of the rate stands still for every fifth frame, and a coder copies the one before there."""
    rate_hz = 30
    phase = math.pi / 2 - math.pi / per_cycle  # two frames lie level beside every turning point
    moving, still, rng = textured(0), textured(1), np.random.default_rng(9)
    frames = []
    for number in range(150):
        px = amplitude_px * math.sin(2 * math.pi * number / per_cycle + phase)
        whole = np.concatenate([shifted(moving, px, 0), still], axis=1)
        grey = np.clip(np.rint(whole + 0.5 * rng.standard_normal(whole.shape)), 0, 255).astype(np.uint8)
        frames.append(np.repeat(grey[..., None], 3, axis=2))
    clip = write_clip(
        tmp_path / "c.mp4",
        frames,
        codec="libx264",
        pixel_format="yuv420p",
        rate=rate_hz,
        options={"crf": "12"},
    )
    found = measured(clip, tmp_path)
    assert found.times_s.size == 150
    assert not any("repeat" in note for note in found.notes())
    peak = found.analysis.findings[0].peak
    assert peak.frequency_hz == pytest.approx(rate_hz / per_cycle, abs=0.005)
    assert peak.amplitude == pytest.approx(amplitude_px, rel=0.05)
