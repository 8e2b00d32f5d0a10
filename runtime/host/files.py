"""Atomic result files, and the faults of those that cannot be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from tremorscope.files import replacement
from tremorscope.runtime.errors import OutputFault


@contextlib.contextmanager
def whole_file(path: Path, *, flush_name: bool = False) -> Iterator[BinaryIO]:
    """A file to be filled; see `tremorscope.files.replacement`.

    Raises:
        OutputFault: it cannot be written.
    """
    try:
        with replacement(path, flush_name=flush_name) as file:
            yield file
    except OSError as error:
        raise cannot_be_written(path, error) from None


def check_place(path: Path, *, overwrite: bool = True) -> None:
    """Check, before long work, that a file can and may be written at its place.

    Raises:
        OutputFault: it cannot, or it exists already and may not be replaced.
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
    if path.exists() and not overwrite:
        raise OutputFault(f"{path}: exists already", remedy="name another file, or add --overwrite")


def cannot_be_written(path: Path, error: OSError) -> OutputFault:
    """Fault for an error of the system while a result was written."""
    if error.errno == errno.ENOSPC:
        return OutputFault(f"{path}: the disk is full", remedy="free some space, or name another directory")
    reason = (error.strerror or str(error)).lower()
    return OutputFault(
        f"{path}: cannot be written ({reason})", remedy="name a directory that you may write to"
    )


def file_address(path: Path) -> str:
    """Address of a file for FFmpeg, which takes what stands before a colon for the name of a protocol."""
    return f"file:{path}"


def printable(name: str) -> str:
    """Name of a file for a report: bytes that are no UTF-8 as escapes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def plain_json(content: str | bytes) -> Any:
    """Parse JSON that somebody else may have written.

    Raises:
        ValueError: it is not valid, or nested beyond all measure.
    """
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
