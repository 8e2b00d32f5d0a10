"""Atomic writing of files, reading of those that users name, and reasons of errors; each stage has its own faults."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MOST_BYTES = 64 * 2**20

Stamp = tuple[int, int, int]
"""Identity of a file's content: modification time in ns, size, inode."""


def stamp_of(file: Path) -> Stamp | None:
    """Stamp of a file; None where it does not exist."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a FIFO or a device would block its reader for ever, or never end.

    Raises:
        OSError: it cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # of a directory `open` would leave it open
        raise OSError(errno.EINVAL, "it is no regular file")
    return open(descriptor, "rb")


def regular_bytes(path: Path, most_bytes: int = _MOST_BYTES) -> bytes:
    """Content of a regular file.

    Raises:
        OSError: it cannot be read, is no regular file, or is larger than ``most_bytes``.
    """
    with open_regular(path) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    return content


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


def reason_of(error: Exception) -> str:
    """Reason of an error of the system, or one that a library passes on, as a part of one line; never empty.

    >>> from tremorscope.files import reason_of
    >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.yaml"))
    'no such file or directory'
    >>> reason_of(OSError("could not get source code"))
    'could not get source code'
    >>> reason_of(OSError())
    'nothing was said (OSError)'
    """
    said = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return said[:1].lower() + said[1:] if said else f"nothing was said ({type(error).__name__})"
