"""A clip from a moving camera is steadied for magnification, and measured without the camera's motion."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from scenes import PoleBehindMovingCamera
from support import read_video, write_clip

from tremorscope.runtime.jobs.magnify import MagnifyJob, magnify_clip
from tremorscope.runtime.jobs.measure import MeasureJob, measure_clip
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

SCENE = PoleBehindMovingCamera("handheld", 60)
POLE = Region(146, 24, 28, 40)


@pytest.fixture(scope="module")
def handheld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    frames = (SCENE.frame(number) for number in range(60))
    return write_clip(tmp_path_factory.mktemp("clip") / "handheld.mkv", frames, rate=30)


def test_the_background_stands_still_in_the_magnified_video(
    handheld: Path, linear_bundle: Path, tmp_path: Path
) -> None:
    job = MagnifyJob(
        clip=handheld,
        output=tmp_path / "out.mp4",
        amplification=1.0,
        bundle=linear_bundle,
        stabilise="similarity",
    )
    report = magnify_clip(job)
    pictures, times_s = read_video(job.output)
    assert len(pictures) == len(times_s) == 60
    told = re.search(
        r"cropped to (\d+)x(\d+) px at x (\d+), y (\d+), \d\d% of the picture", "\n".join(report.lines())
    )
    assert told is not None
    width, height, left, top = map(int, told.groups())
    assert pictures[0].shape == (height, width, 3)
    assert width % 2 == height % 2 == 0
    motion = []
    for place in (Region(50, 60, 48, 48), Region(230, 130, 48, 48)):
        tracker = RegionTracker(pictures[0], Region(place.x_px - left, place.y_px - top, 48, 48), 1.0)
        motion.append([(found.x_px, found.y_px) for found in map(tracker.measure, pictures)])
    assert np.std(motion, axis=1).max() < 0.05


def test_only_the_pole_is_found_to_move(handheld: Path) -> None:
    steadied = measure_clip(MeasureJob(handheld, None, (POLE,), stabilise="similarity"))
    (peak, *others) = [finding.peak for finding in steadied.analysis.findings]
    assert peak.frequency_hz == pytest.approx(SCENE.sway_hz, abs=0.02)
    assert peak.amplitude == pytest.approx(SCENE.true_px(POLE), rel=0.03)
    assert not [each for each in others if each.amplitude > 0.03]
    assert any("the camera's motion of" in note for note in steadied.notes())


def test_a_background_that_moves_alike_is_asked_about(handheld: Path) -> None:
    walls = tuple(Region(x, y, 48, 48) for x, y in ((30, 30), (40, 150), (220, 40), (230, 150)))
    found = measure_clip(MeasureJob(handheld, None, walls))
    assert any(
        "moves alike" in note and "the camera?" in note and "--stabilise" in note for note in found.notes()
    )


def test_a_part_of_a_clip_is_measured(handheld: Path) -> None:
    walls = (Region(30, 30, 48, 48),)
    found = measure_clip(MeasureJob(handheld, None, walls, start_s=0.5, end_s=1.5, reference=1.0))
    assert found.times_s.size == 31
    assert np.array_equal(found.frame, read_video(handheld)[0][30])
    assert any("the frame at 1.000 s" in note for note in found.notes())
