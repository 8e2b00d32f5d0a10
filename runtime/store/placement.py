"""Place of the store: the file under its name, and the disk that must be mounted there."""

from __future__ import annotations

import os
from pathlib import Path

FileIdentity = tuple[int, int]
"""Device and inode: another file under the same name has another."""


def identity_of(path: Path) -> FileIdentity | None:
    """Identity of the file at a path; None where there is none, or the disk does not answer."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def mount_trouble(directory: Path, required: bool | Path) -> str:
    """Reason why a directory does not lie on a mounted disk as required; empty if it does.

    Args:
        directory: where the store lies, or will.
        required: False for any disk, True for any but the system's own, or the path at which one must be mounted.
    """
    if required is False:
        return ""
    if isinstance(required, Path):
        return "" if os.path.ismount(required) else f"no disk is mounted at {required}"
    kept = directory.absolute()
    there = next(each for each in (kept, *kept.parents) if each.exists())
    return (
        f"no disk is mounted at {kept}, which would be the system's own" if is_on_system_disk(there) else ""
    )


def is_on_system_disk(path: Path) -> bool:
    """True if an existing path lies on the disk of ``/``."""
    return path.stat().st_dev == os.stat("/").st_dev
