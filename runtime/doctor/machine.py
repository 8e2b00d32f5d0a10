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


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    status: int
    output: str
    """Of both streams, without blank space around."""


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

    def python_says(self, script: str) -> Answer | None:
        """What the interpreter says to a script; in a process of its own, which a faulty library may crash."""
        return self.run((str(self.python), "-c", script))

    def package(self, name: str) -> str | None:
        """Version of an installed package of Debian or Ubuntu."""
        found = re.search(
            rf"^Package: {re.escape(name)}\nStatus: install ok installed\n(?:.+\n)*?Version: (\S+)",
            self.text("/var/lib/dpkg/status"),
            re.MULTILINE,
        )
        return found[1] if found else None

    def number(self, path: str | PurePath) -> int | None:
        """The integer that a file holds."""
        try:
            return int(self.text(path))
        except ValueError:
            return None


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
