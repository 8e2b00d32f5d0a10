"""Atomic writing of files."""

from __future__ import annotations

from pathlib import Path

from tremorscope.files import reason_of, replacement
from tremorscope.model.errors import ResultFault


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a kill or a power cut leaves the old content or the new, never a part.

    Raises:
        ResultFault: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacement(path) as file:
            file.write(content)
    except OSError as error:
        raise ResultFault(
            f"{path}: {reason_of(error)}", remedy="check the path, its permissions and the disk"
        ) from None
