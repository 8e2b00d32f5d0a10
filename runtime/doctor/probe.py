"""Interface of the probes: the machine that they look at, files below a root and commands, which a test may replace;
its needs, by a configuration, or without one by its hardware; and their findings, one readable line each, with
the command that mends a fault.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePath, PurePosixPath
from typing import Any, Literal

from tremorscope.runtime.cameras.settings import CsiSettings, V4l2Settings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.host import files
from tremorscope.runtime.store.disk import free_bytes

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
        return files.kernel_text(self.path(path))

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
        return sorted((f"/{path.relative_to(self.root)}" for path in found), key=files.natural_order)

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
        return files.kernel_number(self.path(path))


CameraKind = Literal["csi", "v4l2", "rtsp", "clip", "synthetic"]
STATE_DIRECTORY = PurePosixPath("/var/lib/tremorscope")
"""Directory of the service's data: systemd's StateDirectory."""


@dataclass(frozen=True)
class Needs:
    """Requirements on the device."""

    camera: CameraKind | None = None
    """Kind of camera; None if none is configured, so that any will do."""
    device: Path | None = None
    """Device file of a V4L2 camera."""
    sensor_id: int = 0
    """Number of a CSI camera."""
    runtime: Literal["auto", "onnxruntime", "tensorrt"] = "auto"
    """Runtime of the network."""
    bundle: Path | None = None
    """The network to run; None if none is named."""
    data: PurePosixPath = STATE_DIRECTORY
    """Directory of the store and clips."""
    configured: bool = False
    """True if a configuration states them."""

    def wants(self, kind: CameraKind) -> bool:
        """True if that kind of camera is required."""
        return self.camera == kind

    @property
    def on_gpu(self) -> bool:
        """True if a Jetson is to magnify on its GPU."""
        return self.runtime != "onnxruntime"

    def may_want(self, kind: CameraKind) -> bool:
        """True if that kind of camera is required or not ruled out."""
        return self.camera in (None, kind)


def needs_of(configuration: Configuration) -> Needs:
    """Requirements of a configuration."""
    camera, directory = configuration.camera, configuration.store.directory
    return Needs(
        camera=camera.kind,
        device=camera.device if isinstance(camera, V4l2Settings) else None,
        sensor_id=camera.sensor_id if isinstance(camera, CsiSettings) else 0,
        runtime=configuration.magnification.runtime,
        bundle=configuration.magnification.bundle,
        data=PurePosixPath(directory) if directory else STATE_DIRECTORY,
        configured=True,
    )


State = Literal["ok", "missing", "wrong", "not needed"]


@dataclass(frozen=True)
class ProbeFinding:
    """State of one part of the machine."""

    name: str
    """Part that was probed, e.g. ``TensorRT``."""
    state: State
    found: str
    """Observation, e.g. ``10.3.0`` or ``not installed``."""
    means: str = ""
    """Consequence for the user; empty if it is obvious."""
    command: str = ""
    """Shell command that mends it; empty if there is nothing to do."""
    needed: bool = False
    """True if the device cannot do its work while this is missing or wrong."""

    @property
    def is_amiss(self) -> bool:
        """True if there is a fault to mend."""
        return self.state in ("missing", "wrong")

    @property
    def prevents(self) -> bool:
        """True if the device cannot run because of it."""
        return self.is_amiss and self.needed

    def as_json(self) -> dict[str, Any]:
        """The finding as values of JSON."""
        return asdict(self)


def ok(name: str, found: str, means: str = "", command: str = "") -> ProbeFinding:
    """ProbeFinding of a sound part; ``command`` may still offer an alternative."""
    return ProbeFinding(name, "ok", found, means, command)


def missing(name: str, found: str, means: str, command: str, *, needed: bool) -> ProbeFinding:
    """ProbeFinding of a part that is missing."""
    return ProbeFinding(name, "missing", found, means, command, needed)


def wrong(name: str, found: str, means: str, command: str, *, needed: bool = False) -> ProbeFinding:
    """ProbeFinding of a part that is there, but not as it should be."""
    return ProbeFinding(name, "wrong", found, means, command, needed)


def not_needed(name: str, found: str, means: str = "") -> ProbeFinding:
    """ProbeFinding of a part that this machine does not need."""
    return ProbeFinding(name, "not needed", found, means)
