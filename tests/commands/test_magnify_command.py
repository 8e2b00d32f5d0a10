"""The command as a person meets it: one line for a mistake, nothing half-written, the same memory always."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest
from support import (
    Done,
    command_line,
    mount_small_disk,
    read_video,
    run_command,
    textured_frames,
    unmount,
    write_clip,
)

Refusal = Callable[..., None]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A path in a directory of its own, in which anything that is left over shows."""
    (tmp_path / "result").mkdir()
    return tmp_path / "result" / "out.mp4"


def noisy_clip(path: Path, count: int, width_px: int = 160, height_px: int = 120) -> Path:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (height_px, width_px, 3), dtype=np.uint8) for _ in range(10)]
    frames = (pictures[number % 10] for number in range(count))
    fast = {"preset": "ultrafast", "crf": "30"}
    return write_clip(path, frames, codec="libx264", pixel_format="yuv420p", options=fast, faststart=True)


def test_a_clip_is_magnified_and_reported(clip: Path, out: Path, linear_bundle: Path) -> None:
    done = run_command(
        "magnify", clip, "-o", out, "--amplification", 5, "--bundle", linear_bundle, "--view", "split",
        "--mode", "dynamic", "--capture-fps", 500,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "frames         10 of 64x48 px, clip.mp4"
    assert lines[1] == "magnified      5 times, dynamic mode, network linear"
    assert lines[2] == "view           split"
    assert lines[3] == "playback       0.400 s at 25 frames/s, as in the clip"
    assert lines[4] == "reality        0.02 s filmed at 500 Hz: 1 s of playback is 0.05 s"
    assert lines[5] == "frequencies    up to 250 Hz; f Hz is seen as f / 20 in playback"
    assert lines[6].startswith("speed          ")
    assert re.fullmatch(r"runtime        ONNX Runtime [\d.]+ on the CPU, FP32", lines[7])
    assert lines[8] == f"written        {out}"
    assert len(read_video(out)[0]) == 10
    with av.open(str(out)) as video:
        comment = video.metadata["comment"]
    assert comment.startswith("motion magnified 5 times (dynamic) by tremorscope ")
    assert (
        f"clip clip.mp4, sha256 {hashlib.sha256(clip.read_bytes()).hexdigest()}; amplification 5, " in comment
    )
    assert "capture_rate_hz 500" in comment


# One line for every mistake


def cut(path: Path) -> Path:
    whole = noisy_clip(path, 30).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    return path


def without_index(path: Path) -> Path:
    whole = write_clip(path, textured_frames(10)).read_bytes()
    path.write_bytes(whole[: whole.index(b"moov") - 4])
    return path


def text(path: Path) -> Path:
    path.write_text("not a clip\n" * 100)
    return path


def empty(path: Path) -> Path:
    path.touch()
    return path


def folder(path: Path) -> Path:
    path.mkdir()
    return path


BAD_CLIPS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda path: path, "no such file"),
    "directory": (lambda path: path.parent, "is a directory"),
    "text": (text, "is not a video"),
    "empty": (empty, "is empty"),
    "one frame": (lambda path: write_clip(path, textured_frames(1)), "holds one frame only"),
    "no index": (without_index, "cut short: 0 frames are readable"),
    "cut": (cut, "of 30 frames are readable"),
    "tiny": (lambda path: write_clip(path, textured_frames(3, 64, 14)), "64x14 px is too small"),
}


@pytest.mark.parametrize("kind", BAD_CLIPS)
def test_a_bad_clip_is_one_line_and_leaves_nothing(
    tmp_path: Path, out: Path, linear_bundle: Path, kind: str, expect_refusal: Refusal
) -> None:
    make, expected = BAD_CLIPS[kind]
    clip = make(tmp_path / "clip.mp4")
    expect_refusal(expected, "magnify", clip, "-o", out, "-a", 10, "--bundle", linear_bundle)
    assert list(out.parent.iterdir()) == []


BAD_OPTIONS: dict[str, tuple[list[object], str]] = {
    "negative": (["-a", "-5"], "choose a number from 0 to 100"),
    "nan": (["-a", "nan"], "choose a number from 0 to 100"),
    "infinite": (["-a", "inf"], "choose a number from 0 to 100"),
    "absurd": (["-a", 1e12], "choose a number from 0 to 100"),
    "no number": (["-a", "much"], "'much' is no number and not auto"),
    "no amplification": ([], "Missing option '-a' / '--amplification'"),
    "unknown option": (["-a", 5, "--speed", 3], "No such option '--speed'"),
    "unknown mode": (["-a", 5, "--mode", "slow"], "'slow' is not one of 'static', 'dynamic'"),
    "unknown view": (["-a", 5, "--view", "both"], "'both' is not one of"),
    "capture rate": (["-a", 5, "--capture-fps", 0], "give the frames a second"),
    "no threads": (["-a", 5, "--threads", 0], "0 is not in the range"),
}


@pytest.mark.parametrize("kind", BAD_OPTIONS)
def test_a_bad_option_is_one_line_and_leaves_nothing(
    clip: Path, out: Path, linear_bundle: Path, kind: str, expect_refusal: Refusal
) -> None:
    options, expected = BAD_OPTIONS[kind]
    expect_refusal(expected, "magnify", clip, "-o", out, "--bundle", linear_bundle, *options)
    assert list(out.parent.iterdir()) == []


BAD_OUTPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "no directory": (lambda directory: directory / "none" / "out.mp4", "there is no directory"),
    "unsupported": (lambda directory: directory / "out.avi", "not written as .avi"),
    "exists": (lambda directory: empty(directory / "out.mp4"), "exists already"),
    "other files": (lambda directory: empty(directory / "notes.txt").parent, "holds other files"),
    "a file": (lambda directory: empty(directory / "frames"), "is a file"),
    "directory.mp4": (lambda directory: folder(directory / "o.mp4"), "is a directory"),
    "long name": (lambda directory: directory / f"{'o' * 300}.mp4", "ile name too long"),
    "nearly too long a name": (lambda directory: directory / f"{'o' * 245}.mp4", "ile name too long"),
}


@pytest.mark.parametrize("kind", BAD_OUTPUTS)
def test_a_bad_output_is_one_line_and_leaves_nothing(
    clip: Path, out: Path, linear_bundle: Path, kind: str, expect_refusal: Refusal
) -> None:
    make, expected = BAD_OUTPUTS[kind]
    output = make(out.parent)
    before = list(out.parent.iterdir())
    expect_refusal(expected, "magnify", clip, "-o", output, "-a", 5, "--bundle", linear_bundle)
    assert list(out.parent.iterdir()) == before


def test_the_clip_itself_is_never_overwritten(
    clip: Path, linear_bundle: Path, expect_refusal: Refusal
) -> None:
    before = clip.read_bytes()
    arguments = ("magnify", clip, "-o", clip, "-a", 5, "--overwrite", "--bundle", linear_bundle)
    expect_refusal("is the clip itself: name another file", *arguments)
    assert clip.read_bytes() == before


def test_overwrite_replaces_a_video(clip: Path, out: Path, linear_bundle: Path) -> None:
    out.write_bytes(b"older")
    done = run_command("magnify", clip, "-o", out, "-a", 5, "--overwrite", "--bundle", linear_bundle)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_video(out)[0]) == 10


@pytest.fixture
def expect_refusal(run_here: Callable[..., Done]) -> Refusal:
    return partial(check_refusal, run_here)


def check_refusal(run: Callable[..., Done], expected: str, *arguments: object) -> None:
    done = run(*arguments)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("tremorscope: ")
    assert done.stderr.count("\n") == 1
    assert expected in done.stderr
    what, _, remedy = done.stderr.removeprefix("tremorscope: ").rpartition(": ")
    assert len(what) > 5
    assert len(remedy) > 5


# Disks


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    directory = tmp_path / "disk"
    directory.mkdir()
    mounts: list[Path] = []

    def mount(options: str) -> Path:
        mount_small_disk(directory, options)
        mounts.append(directory)
        return directory

    yield mount
    for path in mounts:
        unmount(path)


def test_a_full_disk_is_one_line_and_leaves_nothing(
    tmp_path: Path, linear_bundle: Path, mounted: Callable[[str], Path]
) -> None:
    disk = mounted("size=200k")
    clip = noisy_clip(tmp_path / "clip.mp4", 60)
    check_refusal(
        run_command, "disk is full", "magnify", clip, "-o", disk / "o.mp4", "-a", 2, "--bundle", linear_bundle
    )
    assert list(disk.iterdir()) == []


def test_a_disk_that_is_full_from_the_start_is_one_line(
    clip: Path, linear_bundle: Path, mounted: Callable[[str], Path]
) -> None:
    disk = mounted("size=4k")
    (disk / "log").write_bytes(b"x" * 4096)
    check_refusal(
        run_command, "disk is full", "magnify", clip, "-o", disk / "o.mp4", "-a", 2, "--bundle", linear_bundle
    )
    assert [path.name for path in disk.iterdir()] == ["log"]


def test_a_read_only_disk_is_one_line(
    clip: Path, linear_bundle: Path, mounted: Callable[[str], Path]
) -> None:
    disk = mounted("ro")
    check_refusal(
        run_command,
        "read-only file system",
        "magnify",
        clip,
        "-o",
        disk / "o.mp4",
        "-a",
        2,
        "--bundle",
        linear_bundle,
    )


# Stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_it_with_one_line_and_leaves_nothing(
    tmp_path: Path, out: Path, linear_bundle: Path, number: signal.Signals
) -> None:
    clip = noisy_clip(tmp_path / "clip.mp4", 3000)
    with subprocess.Popen(
        command_line("magnify", clip, "-o", out, "-a", 5, "--bundle", linear_bundle),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        wait_until(lambda: any(path.stat().st_size > 100_000 for path in out.parent.iterdir()))
        while process.poll() is None:  # the impatient ones that follow must not break the clearing up
            process.send_signal(number)
            time.sleep(0.002)
        stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.strip() == "tremorscope: interrupted: nothing was left half-written"
    assert list(out.parent.iterdir()) == []


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it never started to write"
        time.sleep(0.01)


# Memory and progress


def peak_memory_mb(*arguments: object) -> float:
    process = subprocess.Popen(command_line(*arguments), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0, process.stderr and process.stderr.read()
    if process.stderr:
        process.stderr.close()
    process.returncode = 0
    return usage.ru_maxrss / 1024


def test_a_long_clip_takes_no_more_memory_than_a_short_one(
    tmp_path: Path, out: Path, linear_bundle: Path
) -> None:
    peaks_mb = []
    for count in (150, 1500):
        clip = noisy_clip(tmp_path / f"{count}.mp4", count)
        arguments = ("magnify", clip, "-o", out, "-a", 5, "--overwrite", "--bundle", linear_bundle)
        peaks_mb.append(peak_memory_mb(*arguments))
    # Keeping even one byte a pixel of each further frame would take 26 MB.
    assert peaks_mb[1] - peaks_mb[0] < 10


def test_a_terminal_shows_progress_with_rate_and_time_left(
    tmp_path: Path, out: Path, linear_bundle: Path
) -> None:
    clip = noisy_clip(tmp_path / "clip.mp4", 600)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command_line("magnify", clip, "-o", out, "-a", 5, "--bundle", linear_bundle),
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"COLUMNS": "120"},
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                chunk = os.read(ours, 4096)
            except OSError:  # the terminal's other end is closed
                break
            if not chunk:
                break
            shown += chunk
        process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    last = [line for line in re.split(r"[\r\n]", shown.decode()) if line.startswith("magnify:")][-1]
    assert re.fullmatch(r"magnify: *\d+%\|.*\| \d+/600 \[\d\d:\d\d<\d\d:\d\d, *[\d.]+ frames/s\]", last), last
