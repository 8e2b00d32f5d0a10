"""The one view that all probes have of a machine: files below a root, and commands, both of which a test may invent."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

COMMAND_TIMEOUT_S = 20.0
TELLS = "tremorscope asked: "
"""Begins the line in which the interpreter tells what it was asked."""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    output: str
    """Of both streams, without blank space around."""


@dataclass(frozen=True)
class Told:
    """One value that the interpreter was asked for, and what became of its process besides."""

    value: str
    """Empty where it never came."""
    output: str = ""
    """All else of both streams, without blank space around."""
    ended_well: bool = True
    """Whether the process ended by itself; some libraries abort when they are unloaded, having worked till then."""

    @property
    def last_line(self) -> str:
        """What was said last: the reason where the value never came."""
        return self.output.splitlines()[-1].strip() if self.output else ""


Runner = Callable[[Sequence[str]], Answer | None]
"""Runs a command and returns its answer, or None where there is no such command or it does not end."""


def run_command(command: Sequence[str]) -> Answer | None:
    """Run a command of this machine, for `COMMAND_TIMEOUT_S` at most."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=COMMAND_TIMEOUT_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Answer(done.returncode, done.stdout.strip())


def may_use(path: Path) -> bool:
    """Whether this user may read and write a file or device."""
    return os.access(path, os.R_OK | os.W_OK)


def free_bytes(path: Path) -> int:
    """Bytes that may still be written where ``path`` is."""
    return shutil.disk_usage(path).free


@dataclass(frozen=True)
class Machine:
    """A machine, as far as the probes need it."""

    root: Path = Path("/")
    """Where its files are."""
    run: Runner = run_command
    architecture: str = field(default_factory=platform.machine)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    """The interpreter that runs tremorscope."""
    python_version: tuple[int, int] = field(default_factory=lambda: sys.version_info[:2])
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    """Of the interpreter's environment."""
    user_id: int = field(default_factory=os.geteuid)
    group_ids: frozenset[int] = field(default_factory=lambda: frozenset((*os.getgroups(), os.getegid())))
    may_use: Callable[[Path], bool] = may_use
    free_bytes: Callable[[Path], int] = free_bytes

    def path(self, path: str | PurePath) -> Path:
        """Where a file of the machine, named from its own root, is."""
        return self.root / str(path).lstrip("/")

    def text(self, path: str | PurePath) -> str:
        """The text of a file; empty where it is not there or cannot be read."""
        try:
            return self.path(path).read_text(encoding="utf-8", errors="replace").strip("\0 \n\t")
        except OSError:
            return ""

    def data(self, path: str | PurePath) -> bytes:
        """The bytes of a file; none where it is not there or cannot be read."""
        try:
            return self.path(path).read_bytes()
        except OSError:
            return b""

    def exists(self, path: str | PurePath) -> bool:
        """Whether a file is there."""
        return self.path(path).exists()

    def glob(self, pattern: str) -> list[str]:
        """Files that match, named from the machine's root, in order of their names with numbers as numbers."""
        found = self.root.glob(pattern.lstrip("/"))
        return sorted((f"/{path.relative_to(self.root)}" for path in found), key=_natural)

    def says(self, *command: str) -> str | None:
        """What a command says where it succeeds; else None."""
        answer = self.run(command)
        return answer.output if answer is not None and answer.status == 0 else None

    def python_tells(self, statements: str, value: str) -> Told:
        """The value of an expression after some statements, in a process of its own, which a library may crash.

        It is judged by the line that tells it, not by the exit status: ONNX Runtime of several releases frees wrongly
        when it is unloaded from a Jetson (microsoft/onnxruntime issues 24092 and 28301).
        """
        script = f"{statements}\nprint('\\n{TELLS}' + str({value}), flush=True)"
        answer = self.run((str(self.python), "-c", script))
        if answer is None:
            return Told("", ended_well=False)
        told = ""
        rest: list[str] = []
        for line in answer.output.splitlines():
            if line.startswith(TELLS):
                told = line.removeprefix(TELLS).strip()
            else:
                rest.append(line)
        return Told(told, "\n".join(rest).strip(), answer.status == 0)

    def package(self, name: str) -> str | None:
        """Version of an installed package of Debian or Ubuntu."""
        found = self._installed(name)
        return found[2] if found else None

    def is_held(self, name: str) -> bool:
        """Whether an installed package is held at its version by ``apt-mark hold``."""
        found = self._installed(name)
        return found is not None and found[1] == "hold"

    def _installed(self, name: str) -> re.Match[str] | None:
        return re.search(
            rf"^Package: {re.escape(name)}\nStatus: (install|hold) ok installed\n(?:.+\n)*?Version: (\S+)",
            self.text("/var/lib/dpkg/status"),
            re.MULTILINE,
        )

    def number(self, path: str | PurePath) -> int | None:
        """The integer that a file holds."""
        try:
            return int(self.text(path))
        except ValueError:
            return None


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
