"""The command ``tremorscope measure``: what it prints, and one clear line for everything that can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from support import Done, Picture, command_line, mount_small_disk, run_command, unmount, write_clip

from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticSettings
from tremorscope.runtime.jobs.measure import RESULT_NAMES

SETTINGS = SyntheticSettings(320, 180, rate_hz=25.0, duration_s=8.0)
Refused = Callable[..., str]
ROI = ["--roi", "130", "90", "60", "24"]  # girder and railing at mid-span


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    camera = SyntheticCamera(SETTINGS)
    frames: list[Picture] = []
    frame = np.empty((180, 320, 3), np.uint8)
    while camera.read_into(frame) is not None:
        frames.append(frame.copy())
    return write_clip(tmp_path_factory.mktemp("clip") / "bridge.mp4", frames)


@pytest.fixture
def refused(run_here: Callable[..., Done]) -> Refused:
    return partial(refused_by, run_here)


def refused_by(run: Callable[..., Done], *arguments: object, leaves: Path) -> str:
    """Run a measurement that must fail; returns its one line."""
    before = sorted(leaves.parent.iterdir()) if leaves.parent.is_dir() else []
    done = run("measure", *arguments, "-o", leaves)
    assert done.returncode not in (0, -signal.SIGSEGV)
    assert done.stdout == ""
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("tremorscope: ")
    after = sorted(leaves.parent.iterdir()) if leaves.parent.is_dir() else []
    assert after == before
    return line


def test_prints_the_peaks_strongest_first(bridge: Path, tmp_path: Path) -> None:
    done = run_command("measure", bridge, *ROI, "--scale", "0.5", "-o", tmp_path / "out")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "measured    bridge.mp4: 200 frames, 8 s at 25 Hz, 1 regions"
    (peak,) = [line for line in lines if line.startswith("2.10 Hz ")]
    assert " px = 0.0" in peak
    assert {path.name for path in (tmp_path / "out").iterdir()} == set(RESULT_NAMES)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["peaks"][0]["frequency_hz"] == pytest.approx(2.1, abs=0.1 / 8)


@pytest.mark.parametrize("name", [b"2026-05-01T12:30:00.mp4", b"12:caf\xe9.mp4"])
def test_takes_clips_of_any_name(bridge: Path, tmp_path: Path, name: bytes) -> None:
    """FFmpeg took what stands before a colon for a protocol; names need not be UTF-8."""
    clip, results = os.fsdecode(name), tmp_path / os.fsdecode(b"results-" + name)
    (tmp_path / clip).write_bytes(bridge.read_bytes())
    done = run_command("measure", clip, *ROI, "-o", results.name, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    printed = name.decode("utf-8", "backslashreplace")
    assert done.stdout.startswith(f"measured    {printed}: 200 frames, 8 s at 25 Hz")
    assert json.loads((results / "summary.json").read_text())["clip"] == printed


@pytest.mark.parametrize("option", ["--workers", "--dask"])
def test_what_spreads_a_folder_is_refused_for_one_clip(
    option: str, bridge: Path, refused: Refused, tmp_path: Path
) -> None:
    assert f"{option} belongs to a folder of clips" in refused(
        bridge, *ROI, option, "1", leaves=tmp_path / "out"
    )


def test_says_no_password(tmp_path: Path, refused: Refused) -> None:
    line = refused("rtsp://ada:secret@10.0.0.1/stream", leaves=tmp_path / "out")
    assert "rtsp: an address on the network, not a file" in line
    assert "secret" not in line


def test_proposes_regions_and_takes_a_baseline(
    bridge: Path, tmp_path: Path, run_here: Callable[..., Done]
) -> None:
    first = run_here("measure", bridge, "--proposals", 4, "-o", tmp_path / "a")
    assert "regions (proposed)" in first.stdout
    again = run_here("measure", bridge, "--baseline", tmp_path / "a" / "summary.json", "-o", tmp_path / "b")
    assert again.returncode == 0, again.stderr
    assert "MAC 1.00" in again.stdout


def test_replaces_earlier_results_only_when_asked(
    bridge: Path, tmp_path: Path, refused: Refused, run_here: Callable[..., Done]
) -> None:
    out = tmp_path / "out"
    assert run_here("measure", bridge, *ROI, "-o", out).returncode == 0
    before = json.loads((out / "summary.json").read_text())
    assert before["provenance"].pop("command").endswith(f"-o {out}")
    assert "holds earlier results" in refused(bridge, *ROI, leaves=out)
    assert run_here("measure", bridge, *ROI, "--overwrite", "-o", out).returncode == 0
    again = json.loads((out / "summary.json").read_text())
    assert "--overwrite" in again["provenance"].pop("command")
    assert again == before
    (out / "mine.txt").write_text("keep me")
    assert "holds other files, such as mine.txt" in refused(bridge, *ROI, "--overwrite", leaves=out)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--roi", 300, 0, 64, 64], "region 64x64 at x 300, y 0: reaches outside the picture of 320x180 px"),
        (["--roi", -5, 0, 64, 64], "reaches outside the picture"),
        (["--roi", 10, 10, 4, 64], "too small to measure in: make it at least 8x8 px"),
        (["--roi", 10, 10, 0, 0], "too small"),
        ([*ROI, "--still", 300, 0, 64, 64], "reaches outside"),
        ([*ROI, "--scale", "0"], "scale of 0 mm/px is not a number above 0"),
        ([*ROI, "--scale", "-1"], "scale of -1 mm/px is not a number above 0"),
        ([*ROI, "--scale", "nan"], "scale of nan mm/px is not a number above 0"),
        ([*ROI, "--scale-length", "100", "0"], "known length of 0 px is not a number above 0"),
        ([*ROI, "--scale-optics", "0.01", "50", "3"], "gives no picture"),
        ([*ROI, "--scale", "1", "--scale-length", "100", "50"], "more than one way"),
        ([*ROI, "--capture-fps", "0"], "--capture-fps 0: not a number above 0"),
        ([*ROI, "--capture-fps", "nan"], "--capture-fps nan: not a number above 0"),
        ([*ROI, "--window", "60"], "a window of 60 s is longer than the 8 s"),
        ([*ROI, "--window", "0.1"], "too few for a spectrum"),
        ([*ROI, "--window", "-3"], "--window -3: not a number above 0"),
        ([*ROI, "--band", "20", "40"], "cannot be seen at 25 frames a second: choose within"),
        ([*ROI, "--band", "5", "2"], "holds nothing: give the lower frequency first"),
        ([*ROI, "--band", "nan", "2"], "--band: an edge is not a finite number"),
        ([*ROI, "--baseline", "/nowhere/summary.json"], "no such file"),
        (["--roi", 1, 2, 3], "--roi"),
    ],
)
def test_what_cannot_be_is_refused(
    bridge: Path, tmp_path: Path, arguments: list[object], told: str, refused: Refused
) -> None:
    assert told in refused(bridge, *arguments, leaves=tmp_path / "out")


def test_a_region_without_texture_is_refused(tmp_path: Path, refused: Refused) -> None:
    rng = np.random.default_rng(0)
    blank = [np.clip(120 + rng.normal(0, 1, (64, 96, 3)), 0, 255).astype(np.uint8) for _ in range(30)]
    clip = write_clip(tmp_path / "blank.mp4", blank)
    assert "no texture to measure displacement by" in refused(
        clip, "--roi", 10, 10, 32, 32, leaves=tmp_path / "out"
    )
    assert "no part of the picture has texture" in refused(clip, leaves=tmp_path / "out")


def test_clips_that_cannot_be_measured_are_refused(
    bridge: Path, clip: Path, tmp_path: Path, refused: Refused
) -> None:
    assert "10 frames are too few" in refused(clip, leaves=tmp_path / "out")
    assert "no such file" in refused(tmp_path / "none.mp4", leaves=tmp_path / "out")
    text = tmp_path / "text.mp4"
    text.write_text("not a video")
    assert "is not a video" in refused(text, leaves=tmp_path / "out")
    short = tmp_path / "short.mp4"
    short.write_bytes(bridge.read_bytes()[:-20000])
    assert refused(short, leaves=tmp_path / "out")


class TestOutput:
    def test_that_cannot_be_made_is_told_at_once(self, bridge: Path, tmp_path: Path) -> None:
        file = tmp_path / "file"
        file.write_text("")
        assert "is a file" in refused_by(run_command, bridge, *ROI, leaves=file)
        assert "cannot be written" in refused_by(run_command, bridge, *ROI, leaves=file / "out")

    def test_on_a_disk_that_is_read_only(self, bridge: Path, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount_small_disk(disk, "ro")
        try:
            assert "read-only" in refused_by(run_command, bridge, *ROI, leaves=disk / "out")
        finally:
            unmount(disk)

    def test_on_a_disk_that_is_full(self, bridge: Path, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount_small_disk(disk, "size=64k")
        try:
            assert "the disk is full: free some space" in refused_by(
                run_command, bridge, *ROI, leaves=disk / "out"
            )
            assert list(disk.iterdir()) == []
        finally:
            unmount(disk)

    def test_is_not_left_half_written_when_interrupted(self, bridge: Path, tmp_path: Path) -> None:
        out = tmp_path / "deep" / "out"
        process = subprocess.Popen(
            command_line("measure", bridge, *ROI, "-o", out),
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONFAULTHANDLER": "1"},
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while not out.parent.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "nothing was left half-written" in error
        assert not out.parent.exists()

    def test_through_a_link_goes_where_it_points(self, bridge: Path, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "real")
        assert run_command("measure", bridge, *ROI, "-o", tmp_path / "link").returncode == 0
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "real" / "report.html").exists()
