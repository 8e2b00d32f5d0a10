"""The Debian package as tests build it, and a clean Debian or Ubuntu that has what it depends on."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from support import ROOT

PYTHONS = {"bookworm": "3.11", "jammy": "3.10", "noble": "3.12"}
"""Debian 12, Ubuntu 22.04 as under JetPack 6, and Ubuntu 24.04 as under JetPack 7; and the Python of each."""
_UBUNTU = {
    "amd64": "http://archive.ubuntu.com/ubuntu",
    "arm64": "http://ports.ubuntu.com/ubuntu-ports",
}


def run_build(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script that builds the package into a directory."""
    command = [str(ROOT / "systemd/package/build.sh"), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


def field(package: Path, name: str) -> str:
    """What a package's control file states."""
    done = subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def python_of(suite: str) -> str:
    """A program of this machine that is the Python of a suite.

    Raises:
        OSError: there is none.
    """
    version = PYTHONS[suite]
    tell = "import sys; print('%d.%d' % sys.version_info[:2])"
    for program in (sys.executable, f"python{version}"):
        if (found := shutil.which(program)) is None:
            continue
        said = subprocess.run([found, "-c", tell], capture_output=True, text=True, check=False)
        if said.stdout.strip() == version:
            return found
    raise OSError(f"there is no Python {version}, which {suite} has")


def unpack_clean(place: Path, package: Path, suite: str) -> None:
    """Make a directory with a system of the package's architecture that has what it depends on, and nothing else.

    Raises:
        OSError: mmdebstrap is not there, or says why it cannot.
    """
    architecture = field(package, "Architecture")
    names = sorted({re.split(r"[ (]", name.strip())[0] for name in field(package, "Depends").split(",")})
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", f"--include={','.join(names)}",
        f"--architectures={architecture}", "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")),
    ]  # fmt: skip
    # Debian has no keys of Ubuntu; what comes unsigned is run in this test alone.
    source = (
        [] if suite == "bookworm" else [f"deb [trusted=yes] {_UBUNTU[architecture]} {suite} main universe"]
    )
    done = subprocess.run(
        [*command, suite, place, *source], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode != 0:
        raise OSError(f"mmdebstrap says {done.stderr[-500:]}")
