"""Amplifications chosen by measurement, below 1, and too large for the motion: measured in what comes out."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scenes import rgb, shifted, textured
from support import read_video, run_command, write_bundle, write_clip

import tremorscope as ts
from tremorscope.runtime.errors import Fault, OptionFault
from tremorscope.runtime.jobs.magnify import MagnifyJob, MagnifyReport, magnify_clip
from tremorscope.runtime.magnification.filters import BandSettings
from tremorscope.runtime.vibration.displacement.estimator import RegionTracker
from tremorscope.runtime.vibration.displacement.regions import Region

RATE_HZ, TONE_HZ, SIDE_PX = 25, 2.5, 96
BODY = Region(12, 12, 64, 64)
INSIDE = Region(22, 22, 44, 44)


def film(path: Path, amplitude_px: float | Callable[[float], float], *, count: int = 60) -> Path:
    """A textured body that swings up and down before textured ground, with noise of one grey level."""
    rng = np.random.default_rng(0)
    body, ground = textured(1, side=SIDE_PX), textured(2, side=SIDE_PX)
    frames = []
    for number in range(count):
        time_s = number / RATE_HZ
        size_px = amplitude_px(time_s) if callable(amplitude_px) else amplitude_px
        picture = ground.copy()
        moved = shifted(body, 0, size_px * np.sin(2 * np.pi * TONE_HZ * time_s))
        picture[BODY.slices] = moved[BODY.slices]
        frames.append(rgb(np.clip(np.rint(picture + rng.standard_normal(picture.shape)), 0, 255)))
    return write_clip(path, frames, rate=RATE_HZ)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pixels magnified as they are, as if they had been learnt up to 24 px."""
    return write_bundle(tmp_path_factory.mktemp("linear"), magnified_motion_max_px=24)


def magnify(clip: Path, bundle: Path, **changes: Any) -> tuple[MagnifyReport, list[str]]:
    told: list[str] = []
    wanted: dict[str, Any] = {"amplification": 1.0, "bundle": bundle, "overwrite": True} | changes
    job = MagnifyJob(clip=clip, output=clip.with_name("out.mp4"), **wanted)
    return magnify_clip(job, tell=told.append), told


def shown_px(video: Path, from_frame: int = 20) -> float:
    """Amplitude of the tone in a video, over whole periods of it."""
    pictures, _ = read_video(video)
    tracker = RegionTracker(pictures[0], INSIDE, noise_sigma=1.0)
    moved = np.array([tracker.measure(each).y_px for each in pictures[from_frame:]])
    return float(2 * np.abs((moved * np.exp(-2j * np.pi * TONE_HZ * np.arange(moved.size) / RATE_HZ)).mean()))


BAND = BandSettings(((1.9, 3.1),))


@pytest.mark.parametrize("network", ["realtime", "nano"])
@pytest.mark.parametrize(("amplification", "band"), [(0.0, None), (0.5, None), (0.0, BAND)])
def test_below_one_motion_is_attenuated(
    tmp_path: Path, amplification: float, band: BandSettings | None, network: str
) -> None:
    clip = film(tmp_path / "c.mp4", 0.4, count=90 if band else 40)
    assert shown_px(clip) == pytest.approx(0.4, abs=0.02)
    magnify(clip, Path(network), amplification=amplification, band=band, mode="band" if band else "static")
    found_px = shown_px(tmp_path / "out.mp4", 70 if band else 20)
    assert found_px == pytest.approx(amplification * 0.4, abs=0.06)


def test_auto_shows_the_largest_steady_motion_as_eight_pixels(tmp_path: Path) -> None:
    clip = film(tmp_path / "c.mp4", 0.4, count=40)
    report, told = magnify(clip, Path("realtime"), automatic=True)
    assert report.job.amplification == pytest.approx(20, rel=0.06)
    assert [line for line in report.lines() if "auto:" in line] == told
    assert told[0].startswith("amplification  auto: ")
    assert re.search(r"steady motion of 0\.(38|39|4|41|42) px at 2\.5 Hz as ", told[0])
    assert shown_px(tmp_path / "out.mp4") == pytest.approx(8, rel=0.15)
    found = ts.magnify(clip, tmp_path / "python.mp4", amplification="auto", bundle="realtime")
    assert found.report.job.amplification == report.job.amplification


def test_auto_in_a_band_and_in_a_region_looks_at_that_alone(tmp_path: Path, bundle: Path) -> None:
    clip = film(tmp_path / "c.mp4", 0.4, count=40)
    beside = BandSettings(((5.5, 8.0),))
    for changes in ({"mode": "band", "band": beside}, {"regions": (Region(78, 0, 18, SIDE_PX),)}):
        report, told = magnify(clip, bundle, automatic=True, **changes)
        assert "at 2.5 Hz" not in told[0], told
        assert report.job.amplification > 25 or "nothing is seen to move" in told[0], told


def test_auto_without_motion_takes_twenty_and_says_so(tmp_path: Path, bundle: Path) -> None:
    report, told = magnify(film(tmp_path / "c.mp4", 0.0, count=30), bundle, automatic=True)
    assert told == ["amplification  auto: nothing is seen to move, so 20 times"]
    assert report.job.amplification == 20


def test_auto_where_nothing_can_be_measured_is_refused(tmp_path: Path, bundle: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", [np.full((64, 64, 3), 90, np.uint8)] * 20)
    with pytest.raises(OptionFault, match=r"auto: nothing in the clip can be measured .*: give a number"):
        magnify(clip, bundle, automatic=True)
    with pytest.raises(Fault, match=r"^amplification auto: nothing"):
        ts.magnify(clip, tmp_path / "o.mp4", amplification="auto")
    assert [each.name for each in tmp_path.iterdir()] == ["c.mp4"]
    report, told = magnify(clip, bundle)  # a number is taken as it is
    assert (report.frames, told) == (20, [])


def test_motion_beyond_the_training_is_told_before_the_work(tmp_path: Path, bundle: Path) -> None:
    """Seven pixels, ten times, for half a second from the first second on: 24 px is what the network knows."""
    clip = film(tmp_path / "c.mp4", lambda time_s: 7.0 if 1 <= time_s < 1.6 else 0.05)
    done = run_command("magnify", clip, "-o", tmp_path / "o.mp4", "-a", 10, "--bundle", bundle)
    assert done.returncode == 0
    told = next(line for line in done.stderr.splitlines() if line.startswith("warning        "))
    assert told in done.stdout
    assert done.stderr.count("warning") == 1, "once is enough"
    # At ten frames a period the furthest frame is at 0.95 of the amplitude.
    assert (
        "of 60 frames looked at (1.04 to 1.56 s) move by up to 6.7 px, to be shown as 6" in told
    )  # 66.6, and noise
    assert "the network was trained up to 24 px" in told
    assert "--amplification 3.5 fits" in told
    for fits in ({"amplification": 3.5}, {"amplification": 10.0, "max_displacement_px": 16.0}):
        assert magnify(clip, bundle, **fits)[1] == []


def test_motion_after_the_first_look_is_told_at_the_end(
    tmp_path: Path, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tremorscope.runtime.jobs.first_look._FRAMES", 20)
    clip = film(tmp_path / "c.mp4", lambda time_s: 5.0 if time_s >= 1.2 else 0.05, count=50)
    report, told = magnify(clip, bundle, amplification=8.0)
    assert len(told) == 1
    assert "of 50 frames looked at (1.28 to 1.92 s)" in told[0]
    assert told[0] in report.lines()
