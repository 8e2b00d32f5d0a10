"""Commands in the documents run as they stand, in the order of their page, in a fresh folder, or the page says why not.

A block of commands may have one of these comments on the lines before it:

    <!-- not run: needs a Jetson -->
    <!-- run by tests/test_makefile.py -->
    <!-- run by tests/one.py, tests/two.py; not git: needs a server to clone from -->

and a page names the files that a reader brings along, which are drawn here: ``<!-- given: bridge.mp4 -->``.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_boards import Studio, View, postures
from scenes import PoleBehindMovingCamera
from support import ROOT, write_clip
from test_docs import DOCUMENTS

from tremorscope import cli
from tremorscope.calibration.geometry.boards import CalibrationBoard
from tremorscope.runtime.cameras.synthetic import SyntheticCamera, SyntheticMode, SyntheticSettings
from tremorscope.runtime.clips.h264 import EncodingSettings
from tremorscope.runtime.clips.video import VideoWriter

PROGRAMS = (
    r"tremorscope|python3?|pip|make|git|cd|ssh|systemctl|journalctl|docker|dask|timedatectl|grep|gst-launch-1\.0|v4l2-ctl"
    r"|sqlite3|curl|wget|mosquitto_sub|ansible|ansible-playbook|pytest|ls|cp|mv|rm|mkdir|tar|scp|for|eval|export|source"
    r"|dd|cat|echo|sed|chmod|apt|apt-get|ffmpeg|ffprobe|magick|uv|conda|snap|crontab|torchrun"
)
COMMAND = re.compile(r"^(?:sudo |V=|\{ |\S+\.sh |(?:[A-Z_]+=\S+ )*(?:\S+/bin/)?(?:" + PROGRAMS + r")(?= |$))")
"""A line that starts with a program."""
TESTS = r"tests/[\w/]+\.py(?:, tests/[\w/]+\.py)*"
MARK = re.compile(
    rf"<!-- (?:not run: [^>]{{8,}}|run by (?P<tests>{TESTS})(?:; not (?P<but>[^:>]+): [^>]{{8,}})?) -->\n*\Z"
)
GIVEN = re.compile(r"<!-- given: (.*?) -->")
NOT_COMMANDS = {"docs/design.md"}
"""Pages whose blocks show a tree of folders and lines of a graph, not commands."""


@dataclass(frozen=True)
class Block:
    """Commands of a document that stand together, and the comment before them."""

    line: int
    commands: tuple[str, ...]
    mark: re.Match[str] | None


def blocks(document: Path) -> Iterator[Block]:
    """All blocks of commands in a document."""
    if document.relative_to(ROOT).as_posix() not in NOT_COMMANDS:
        yield from blocks_of(document.read_text(encoding="utf-8"))


def blocks_of(text: str) -> Iterator[Block]:
    """All blocks of commands in a text, the indented and the fenced."""
    pattern = r"(?:(?<=\n\n)|\A)((?:    .*\n)(?:(?:    .*)?\n)*)|^```(?!py)\w*\n((?:.*\n)*?)```"
    for found in re.finditer(pattern, text, re.MULTILINE):
        body = re.sub(r" *\\\n *", " ", found[1] or found[2])
        lines = [line.strip() for line in body.splitlines() if line.strip()]
        if any(COMMAND.match(line) for line in lines):
            number = text.count("\n", 0, found.start()) + 1
            commands = tuple(re.sub(r"(^|\s+)# .*$", "", line) for line in lines)
            yield Block(number, tuple(filter(None, commands)), MARK.search(text[: found.start()]))


def film(
    path: Path, rate_hz: float = 25.0, frames: int = 75, tone_hz: float = 2.1, width_px: int = 400
) -> None:
    """Film the drawn footbridge, by default in the example's size, without loss."""
    height_px = width_px * 56 // 100
    modes = (SyntheticMode(tone_hz, 0.12, 1), SyntheticMode(2.2 * tone_hz, 0.05, 2))
    camera = SyntheticCamera(
        SyntheticSettings(width_px, height_px, rate_hz, modes=modes, duration_s=frames / rate_hz)
    )
    frame = np.empty((height_px, width_px, 3), dtype=np.uint8)
    encoding = EncodingSettings(width_px, height_px, rate_hz, 1 / Fraction(rate_hz), constant_rate_factor=0)
    with VideoWriter(path, encoding) as video:
        while (info := camera.read_into(frame)) is not None:
            video.write(frame, info.timestamp_s)


def film_handheld(path: Path) -> None:
    """Film a swaying pole with a camera that is held."""
    scene = PoleBehindMovingCamera("handheld", 45)
    write_clip(path, (scene.frame(number) for number in range(45)), rate=30)


def photograph_board(directory: Path) -> None:
    """Leave views of a board and one of the scene, as a camera would photograph them."""
    studio, rng = Studio(CalibrationBoard.parse("charuco-9x6-25mm")), np.random.default_rng(1)
    for number, view in enumerate(postures(rng, 8)):
        cv2.imwrite(str(directory / f"view{number}.png"), studio.draw(view, rng))
    scenes = [studio.draw(View(12, -18, 3, 0, 0, 520), rng) for _ in range(2)]
    cv2.imwrite(str(directory / "scene.png"), scenes[0])
    write_clip(directory / "clip.mp4", 20 * scenes)


def draw(name: str, place: Path) -> None:
    """Draw what a reader brings along."""
    if name == "view*.png":
        photograph_board(place.parent)
    elif name == "handheld.mp4":
        film_handheld(place)
    elif name == "clips/":
        place.mkdir()
        for each in ("east.mp4", "west.mp4"):
            film(place / each, frames=50, width_px=200)
    elif name == "fork.mp4":
        film(place, 500.0, 40, 64.0, 200)
    elif name == "pump.mp4":
        film(place, 240.0, 96, 24.7)
    elif name in ("mast.mp4", "hall.mp4"):
        film(place, frames=40, width_px=200)
    elif name == "site.yaml":
        place.symlink_to(ROOT / "configs" / "demo.yaml")
    else:
        film(place)


def run(command: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    """Exit status of a command: ours in this process, any other in a shell."""
    if not command.startswith("tremorscope ") or re.search(
        r"[|><;&$]", re.sub(r"'[^']*'|\"[^\"]*\"", "", command)
    ):
        paths = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": paths, "PYTHONPATH": str(ROOT)}
        return subprocess.run(["bash", "-ec", command], cwd=folder, env=environment, check=False).returncode
    words = [
        each
        for word in shlex.split(command)
        for each in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
    ]
    monkeypatch.setattr("sys.argv", words)
    try:
        cli.main()
    except SystemExit as ended:
        return ended.code or 0
    return 0


PAGES = [document for document in DOCUMENTS if any(blocks(document))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_commands_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [block for block in blocks(page) if block.mark is None]
    if not wanted:
        return
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for stage in ("configs", "model", "docs"):
        (tmp_path / stage).symlink_to(ROOT / stage)
    given = GIVEN.search(page.read_text(encoding="utf-8"))
    for name in given[1].split(", ") if given else []:
        draw(name, tmp_path / name)
    for block in wanted:
        for command in block.commands:
            assert run(command, tmp_path, monkeypatch) == 0, f"{page.name}:{block.line}: {command}"


def telling(command: str) -> Iterator[str]:
    """Words that say what a line does: programs or scripts, our commands, long options."""
    for part in re.split(r" (?:&&|\|) ", command):
        words = part.replace("sudo ", "").split()
        yield Path(words[0]).name
        if words[0] in ("dask", "make", "tremorscope"):
            yield from words[1 : 3 if words[1:2] == ["calibrate"] else 2]
        yield from re.findall(r"(?<= )--[a-z][a-z-]+", part)


def with_helpers(test: Path) -> str:
    """Text of a test, and of the helpers that it imports."""
    text = test.read_text(encoding="utf-8")
    assert "def test_" in text
    imported = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    places = [place / f"{name}.py" for name in imported for place in (test.parent, ROOT / "tests")]
    return " ".join([text, *(each.read_text(encoding="utf-8") for each in places if each.is_file())])


def not_named(block: Block) -> set[str]:
    """What a block's commands say, and neither the tests of its mark nor its exceptions do."""
    assert block.mark is not None
    texts = [with_helpers(ROOT / test) for test in block.mark["tests"].split(", ")]
    wanted = {word for command in block.commands for word in telling(command)} - {"tremorscope"}
    named = " ".join([*texts, block.mark["but"] or ""])
    return {word for word in wanted if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", named)}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_a_mark_names_tests_of_its_commands(page: Path) -> None:
    told = [(block.line, not_named(block)) for block in blocks(page) if block.mark and block.mark["tests"]]
    assert [each for each in told if each[1]] == []


def test_each_mark_stands_before_a_block_of_commands() -> None:
    for page in DOCUMENTS:
        written = len(re.findall(r"<!-- (?:not run|run by)", page.read_text(encoding="utf-8")))
        assert (page, sum(block.mark is not None for block in blocks(page))) == (page, written)


def test_a_block_without_a_mark_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "Text.\n\n    tremorscope demo \\\n        --seconds 0  # no film\n    picture of it\n\n"
        "<!-- not run: needs a Jetson -->\n\n    sudo reboot\n"
    )
    first, second = blocks_of(text)
    assert (first.commands, first.mark) == (("tremorscope demo --seconds 0", "picture of it"), None)
    assert second.mark is not None
    mark = "<!-- run by tests/test_makefile.py; not git: needs a server -->"
    (marked,) = blocks_of(f"{mark}\n\n    git pull && make demo\n    ffmpeg --never\n    grep ^Rss x\n")
    assert not_named(marked) == {"ffmpeg", "--never", "grep"}
    assert run(first.commands[0], tmp_path, monkeypatch) == 1
