"""Atomic writing of files, for all stages; each has its own fault for a file that cannot be written."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def replacement(path: Path, *, flush_name: bool = False) -> Iterator[BinaryIO]:
    """A file to be filled, which replaces ``path`` at the end; after any exception nothing is left of it.

    A kill or a power cut leaves the old content or the new, never a part.

    Args:
        path: final name of the file.
        flush_name: also flush the directory, so that the new name survives a power cut.

    Raises:
        OSError: it cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial-{os.getpid()}")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        if flush_name:
            flush_entry(path.parent)
    finally:
        with contextlib.suppress(OSError):  # a disk that went away takes the file with it
            partial.unlink(missing_ok=True)


def flush_entry(path: Path) -> None:
    """Flush a file, or the names in a directory, to the disk, so that they survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
