"""Atomic result files: written under a temporary name, flushed, and only then renamed."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from tremorscope.runtime.errors import OutputFault


@contextlib.contextmanager
def whole_file(path: Path, *, flush_name: bool = False) -> Iterator[BinaryIO]:
    """A file to be filled, which replaces ``path`` at the end; after any exception nothing is left of it.

    Args:
        path: final name of the file.
        flush_name: also flush the directory, so that the new name survives a power cut.

    Raises:
        OutputFault: it cannot be written.
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
    except OSError as error:
        raise cannot_be_written(path, error) from None
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


def check_place(path: Path) -> None:
    """Check, before long work, that a file can be written at its place.

    Raises:
        OutputFault: it cannot.
    """
    if path.is_dir():
        raise OutputFault(f"{path}: is a directory", remedy="name a file in it")
    if not path.parent.is_dir():
        raise OutputFault(
            f"{path}: there is no directory {path.parent}", remedy="make it first, or name another"
        )
    if not os.access(path.parent, os.W_OK):
        raise OutputFault(
            f"{path}: {path.parent} may not be written to", remedy="name a directory that you may write to"
        )


def cannot_be_written(path: Path, error: OSError) -> OutputFault:
    """Fault for an error of the system while a result was written."""
    if error.errno == errno.ENOSPC:
        return OutputFault(f"{path}: the disk is full", remedy="free some space, or name another directory")
    reason = (error.strerror or str(error)).lower()
    return OutputFault(
        f"{path}: cannot be written ({reason})", remedy="name a directory that you may write to"
    )
