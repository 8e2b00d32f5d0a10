"""The Debian package as tests build it, and a clean Debian that has what it depends on."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from support import ROOT

DEBIAN, ITS_PYTHON = "bookworm", (3, 11)
"""The release of Debian that packages are installed on, and the Python that it has."""


def run_build(output: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the script that builds the package into a directory."""
    command = [str(ROOT / "systemd/package/build.sh"), "--output", str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)


def field(package: Path, name: str) -> str:
    """What a package's control file states."""
    done = subprocess.run(["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def unpack_debian(place: Path, package: Path) -> None:
    """Make a directory with a Debian of the package's architecture that has what it depends on, and nothing else.

    Raises:
        OSError: mmdebstrap is not there, or says why it cannot.
    """
    names = sorted({re.split(r"[ (]", name.strip())[0] for name in field(package, "Depends").split(",")})
    command = [
        "mmdebstrap", "--quiet", "--mode=root", "--variant=essential", f"--include={','.join(names)}",
        f"--architectures={field(package, 'Architecture')}",
        *(f"--dpkgopt=path-exclude=/usr/share/{part}/*" for part in ("doc", "man", "locale")),
    ]  # fmt: skip
    done = subprocess.run(
        [*command, DEBIAN, place], capture_output=True, text=True, check=False, timeout=1800
    )
    if done.returncode != 0:
        raise OSError(f"mmdebstrap says {done.stderr[-500:]}")
