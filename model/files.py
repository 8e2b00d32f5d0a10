"""Atomic writing of files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from tremorscope.model.errors import ResultFault


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a kill or a power cut leaves the old content or the new, never a part.

    Raises:
        ResultFault: the file cannot be written.
    """
    partial = path.with_name(path.name + ".partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise ResultFault(
            f"{path}: {reason}", remedy="check the path, its permissions and the disk"
        ) from None
    finally:
        with contextlib.suppress(OSError):  # the directory itself may be what is wrong
            partial.unlink(missing_ok=True)
