"""View that all probes have of a machine: files below a root, and commands; a test may replace both."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from tremorscope.runtime.host import kernel_files
from tremorscope.runtime.store.disk_guard import free_bytes

COMMAND_TIMEOUT_S = 20.0
TELLS = "tremorscope asked: "
"""Prefix of the line in which the interpreter prints the value that it was asked for."""


@dataclass(frozen=True)
class Answer:
    """Exit status and output of a command."""

    status: int
    output: str
    """Text of both streams, stripped."""


@dataclass(frozen=True)
class PythonAnswer:
    """Value that a process of the interpreter has printed, with its other output and its end."""

    value: str
    """The value; empty if it was not printed."""
    output: str = ""
    """All other text of both streams, stripped."""
    ended_well: bool = True
    """False if the process was aborted; some libraries abort when they are unloaded, having worked till then."""

    @property
    def last_line(self) -> str:
        """Last line of the other output: the reason if there is no value."""
        return self.output.splitlines()[-1].strip() if self.output else ""


Runner = Callable[[Sequence[str]], Answer | None]
"""Runs a command and returns its answer, or None if there is no such command or it does not end."""


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
    """True if this user may read and write a file or device."""
    return os.access(path, os.R_OK | os.W_OK)


@dataclass(frozen=True)
class Machine:
    """A machine: its files, commands, interpreter and user."""

    root: Path = Path("/")
    """Root directory of its files."""
    run: Runner = run_command
    architecture: str = field(default_factory=platform.machine)
    python: Path = field(default_factory=lambda: Path(sys.executable))
    """The interpreter that runs tremorscope."""
    python_version: tuple[int, int] = field(default_factory=lambda: sys.version_info[:2])
    prefix: Path = field(default_factory=lambda: Path(sys.prefix))
    """Prefix of the interpreter's environment."""
    user_id: int = field(default_factory=os.geteuid)
    group_ids: frozenset[int] = field(default_factory=lambda: frozenset((*os.getgroups(), os.getegid())))
    may_use: Callable[[Path], bool] = may_use
    free_bytes: Callable[[Path], int] = free_bytes

    def path(self, path: str | PurePath) -> Path:
        """Path of a file of the machine, which is named from its own root."""
        return self.root / str(path).lstrip("/")

    def text(self, path: str | PurePath) -> str:
        """The text of a file; empty if it does not exist or cannot be read."""
        return kernel_files.text(self.path(path))

    def data(self, path: str | PurePath) -> bytes:
        """The bytes of a file; empty if it does not exist or cannot be read."""
        try:
            return self.path(path).read_bytes()
        except OSError:
            return b""

    def exists(self, path: str | PurePath) -> bool:
        """True if a file exists."""
        return self.path(path).exists()

    def glob(self, pattern: str) -> list[str]:
        """Files that match, named from the machine's root, in order of their names with numbers as numbers."""
        found = self.root.glob(pattern.lstrip("/"))
        return sorted((f"/{path.relative_to(self.root)}" for path in found), key=_natural)

    def says(self, *command: str) -> str | None:
        """Output of a command if it succeeds; else None."""
        answer = self.run(command)
        return answer.output if answer is not None and answer.status == 0 else None

    def python_tells(self, statements: str, value: str) -> PythonAnswer:
        """Value of an expression after some statements, in a process of its own, which a library may crash.

        Success is the printed line, not the exit status: ONNX Runtime of several releases crashes when it is unloaded
        on a Jetson (microsoft/onnxruntime issues 24092 and 28301).
        """
        script = f"{statements}\nprint('\\n{TELLS}' + str({value}), flush=True)"
        answer = self.run((str(self.python), "-c", script))
        if answer is None:
            return PythonAnswer("", ended_well=False)
        printed = ""
        rest: list[str] = []
        for line in answer.output.splitlines():
            if line.startswith(TELLS):
                printed = line.removeprefix(TELLS).strip()
            else:
                rest.append(line)
        return PythonAnswer(printed, "\n".join(rest).strip(), answer.status == 0)

    def package(self, name: str) -> str | None:
        """Version of an installed package of Debian or Ubuntu; None if it is not installed."""
        found = self._installed(name)
        return found[2] if found else None

    def is_held(self, name: str) -> bool:
        """True if an installed package is held at its version by ``apt-mark hold``."""
        found = self._installed(name)
        return found is not None and found[1] == "hold"

    def _installed(self, name: str) -> re.Match[str] | None:
        return re.search(
            rf"^Package: {re.escape(name)}\nStatus: (install|hold) ok installed\n(?:.+\n)*?Version: (\S+)",
            self.text("/var/lib/dpkg/status"),
            re.MULTILINE,
        )

    def number(self, path: str | PurePath) -> int | None:
        """The integer in a file; None if there is none."""
        return kernel_files.number(self.path(path))


def _natural(path: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path)]
