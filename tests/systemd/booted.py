"""A machine with a real systemd, in namespaces of its own (see boot.sh), and what tests do with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from support import ROOT

BOOT = Path(__file__).with_name("boot.sh")
_PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNIT_PATH = "/etc/systemd/system:/run/systemd/system:/usr/local/lib/systemd/system:/run/stock"
PYTHON = f"/srv/python/bin/{Path(sys.executable).resolve().name}"
"""The interpreter on the machine, outside any virtual environment."""


class Machine:
    """A booted machine. The sources are at /srv/source, the libraries of our virtual environment at /srv/libraries."""

    def __init__(self, disk: Path | None = None, base: Path | None = None) -> None:
        """Boot; with ``disk``, a directory, what is written stays there, and the next machine finds it.

        With ``base``, the files of another machine, it is a copy of that one, which has no libraries of ours.

        Raises:
            OSError, CalledProcessError, TimeoutError: namespaces, overlays or systemd do not work here.
        """
        self._disk, self._base = disk, base
        self._boot()

    def _boot(self) -> None:
        ours = ("", "") if self._base else (sysconfig.get_paths()["purelib"], sys.base_prefix)
        command = [
            "unshare",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
            "--cgroup",
            "--net",
            "--fork",
            "--kill-child",
        ]
        self._process = subprocess.Popen(
            [*command, str(BOOT), str(ROOT), *ours, str(self._disk or ""), str(self._base or "")],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self._init = 0
        try:
            wait_until(self._is_up, "systemd to start")
        except BaseException:
            self.power_off()
            raise

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            assert self._process.stdout is not None
            raise OSError(self._process.stdout.read())
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        if not children or "systemd" not in Path(f"/proc/{children[0]}/comm").read_text():
            return False
        self._init = int(children[0])
        return self.run("systemctl", "is-active", "--quiet", "multi-user.target", check=False).returncode == 0

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def power_off(self) -> None:
        """Pull the plug: every process is killed at once, and nothing is flushed by anybody."""
        self._process.kill()
        self._process.wait()
        if self._init:  # which ends when all others have
            wait_until(lambda: not Path(f"/proc/{self._init}").exists(), "all processes to end")
        if self._process.stdout is not None:
            self._process.stdout.close()

    def cut_power(self) -> None:
        """Pull the plug, and start again with the same disk."""
        assert self._disk is not None
        self.power_off()
        self._boot()

    def run(
        self, *command: object, check: bool = True, stdin: str = "", timeout_s: float = 60, user: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine, as root or another user."""
        entering = ["nsenter", "--target", str(self._init), "--all", "--"]
        switching = ["setpriv", "--reuid", user, "--regid", user, "--init-groups"] if user else []
        environment = [
            "env", "-i", f"PATH={_PATH}", f"SYSTEMD_UNIT_PATH={_UNIT_PATH}", "SYSTEMD_PAGER=", "LANG=C.UTF-8",
        ]  # fmt: skip
        done = subprocess.run(
            [*entering, *switching, *environment, *map(str, command)],
            capture_output=True, text=True, check=False, input=stdin, timeout=timeout_s,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise AssertionError(
                f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def systemctl(self, *arguments: str, check: bool = True) -> str:
        """What systemctl says."""
        return self.run("systemctl", *arguments, check=check).stdout.strip()

    def show(self, unit: str, name: str) -> str:
        """One property of a unit."""
        return self.systemctl("show", "--value", "-p", name, unit)

    def journal(self, *arguments: str) -> str:
        """What the journal holds, as bare messages."""
        self.run("journalctl", "--sync", check=False)  # just after a start journald may not listen yet
        return self.run("journalctl", "-q", "-o", "cat", *arguments).stdout

    def write(self, path: str, content: str, mode: str = "0644") -> None:
        """Write a file."""
        self.run("sh", "-c", 'mkdir -p "$(dirname "$1")" && cat >"$1" && chmod "$2" "$1"', "-", path, mode,
                 stdin=content)  # fmt: skip

    def read(self, path: str) -> str:
        """What a file holds; nothing if it is not there."""
        return self.run("cat", path, check=False).stdout


def wait_until(condition: Callable[[], bool], what: str, *, timeout_s: float = 60.0) -> None:
    """Look again and again until something is so.

    Raises:
        TimeoutError: it did not become so.
    """
    until_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > until_s:
            raise TimeoutError(f"waited {timeout_s:g} s for {what}")
        time.sleep(0.05)


def boot_or_skip(disk: Path | None = None, base: Path | None = None) -> Machine:
    """A machine, or a skipped test where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("needs systemd in namespaces, and so root")
    for tool in ("unshare", "nsenter", "setpriv", "systemctl", "journalctl"):
        if shutil.which(tool) is None:
            pytest.skip(f"needs systemd in namespaces, and so {tool}")
    try:
        return Machine(disk, base)
    except (OSError, TimeoutError) as error:
        pytest.skip(f"needs systemd in namespaces: {' '.join(str(error).split())[-300:]}")


def build_wheel(directory: Path) -> Path:
    """The kit as it stands, as a wheel in a directory."""
    parts = [
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "tremorscope",
        "runtime",
        "calibration",
        "export",
        "model",
    ]
    source = directory / "source"  # a copy, because building leaves things behind
    source.mkdir()
    subprocess.run(["cp", "-r", *parts, str(source)], cwd=ROOT, check=True)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(directory), str(source)], check=True)
    (wheel,) = directory.glob("*.whl")
    return wheel


def changed_wheel(wheel: Path, directory: Path, beginnings: dict[str, bytes]) -> Path:
    """The same wheel in another directory, in which files begin with something more."""
    directory.mkdir()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(directory / wheel.name, "w") as new:
        assert set(beginnings) <= set(old.namelist())
        for entry in old.namelist():
            new.writestr(entry, beginnings.get(entry, b"") + old.read(entry))
    return directory / wheel.name
