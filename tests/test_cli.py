"""The command line as a process: what it prints reaches its reader, or the failure is one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import command_line

from tremorscope import cli

SCRIPT = Path(sys.executable).with_name("tremorscope")


def printed_to(path: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    with Path(path).open("w") as output:
        command = [str(part) for part in command_line(*arguments)]
        return subprocess.run(command, stdout=output, stderr=subprocess.PIPE, text=True, check=False)


@pytest.mark.parametrize("arguments", [("schema",), ("--version",), ("--help",)])
def test_output_to_a_full_device_is_told_in_a_line(arguments: tuple[str, ...]) -> None:
    done = printed_to("/dev/full", *arguments)
    (line,) = done.stderr.splitlines()
    assert line.startswith(
        "tremorscope: what was to be printed could not be written (no space left on device): "
    )
    assert done.returncode == 1


def test_a_reader_who_has_seen_enough_is_no_failure() -> None:
    command = " ".join(map(str, command_line("schema")))
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} | head -c 1"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


@pytest.mark.parametrize(
    "name",
    [
        "http:/ada:secret@host/o.mp4",
        "rtsp://ada:secret@host:554/x",
        "mqtts://:secret@h",
        "http:/ada:a/secret@host/o.mp4",
        "rtsp://ada:a@secret@host",
    ],
)
def test_no_line_says_a_password(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli._fail(f"{name}: there is no directory {name}: make the directory first, at 12:30@noon")
    told = capsys.readouterr().err
    assert "secret" not in told
    assert told.count("/...@h") == 2
    assert told.endswith(": make the directory first, at 12:30@noon\n")


@pytest.mark.parametrize(
    "words",
    [
        ("-o", "rtsp://ada:secret@h/x"),
        ("--output", "http://h/o.mp4"),
        ("--output=s3://h/x",),
        ("-oftp://h/x",),
    ],
)
def test_an_output_is_no_address(words: tuple[str, ...], tmp_path: Path) -> None:
    clip = str(tmp_path / "clip.mp4")
    done = subprocess.run(
        [*command_line("measure"), clip, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("tremorscope: --output: an address is no file")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("shell", "position"), [("bash", "2"), ("zsh", "2"), ("fish", "--am")])
def test_names_are_completed(shell: str, position: str) -> None:
    asked = {"COMP_WORDS": "tremorscope magnify --am", "COMP_CWORD": position}
    environment = os.environ | asked | {"_TREMORSCOPE_COMPLETE": f"{shell}_complete"}
    if not SCRIPT.is_file():
        pytest.skip("needs the installed command")
    done = subprocess.run([SCRIPT], env=environment, capture_output=True, text=True, check=True)
    assert "--amplification" in done.stdout
