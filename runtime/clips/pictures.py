"""Numbered PNG pictures in a folder of their own, complete or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.containers import name_pattern, numbered, png_coder
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import cannot_be_written, check_free, whole_directory


class PngWriter:
    """Writer of pictures as a `VideoWriter` is one of videos; their times are not kept.

    Args:
        directory: the folder, made at the end; it may exist if it is empty.
        name: of the pictures, such as ``%06d.png``, counted from 1.
        comment: text for each picture's metadata.
        overwrite: replace pictures of such names that are there.

    Raises:
        OutputFault: the folder cannot be written, or holds other files.
    """

    def __init__(self, directory: Path, name: str, *, comment: str = "", overwrite: bool = False) -> None:
        self._name, self._comment, self._count = name, comment, 0
        self._code: Callable[[NDArray[np.uint8]], bytes] | None = None
        self._directory: AbstractContextManager[Path] = whole_directory(
            directory, overwrite=overwrite, names=_present(directory, name)
        )

    def __enter__(self) -> PngWriter:
        """Return itself."""
        self._scratch = self._directory.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Put the folder in its place, or remove it after an exception."""
        self._directory.__exit__(kind, error, trace)

    def notes(self) -> tuple[str, ...]:
        """Human-readable remarks on what was written: none."""
        return ()

    def write(self, picture: NDArray[np.uint8], timestamp_s: float) -> None:  # noqa: ARG002 - as a video's
        """Add a picture, u8[H, W, 3] RGB.

        Raises:
            OutputFault: it cannot be written.
        """
        self._count += 1
        height_px, width_px = picture.shape[:2]
        self._code = self._code or png_coder(width_px, height_px, self._comment)
        path = self._scratch / numbered(self._name, self._count)
        try:
            path.write_bytes(self._code(picture))
        except OSError as error:
            raise cannot_be_written(path, error) from None


def check_pictures(directory: Path, name: str, *, overwrite: bool, source: Path | None = None) -> None:
    """Check, before any work is done, that pictures can and may be written; see `PngWriter`.

    The ``source`` is a clip that is read meanwhile, maybe of such pictures, which must never be replaced.

    Raises:
        OutputFault: they cannot, or must not.
    """
    folders = () if source is None else (source, source.parent)
    if directory.exists() and any(each.is_dir() and each.samefile(directory) for each in folders):
        raise OutputFault(f"{directory}: holds the clip itself", remedy="name another folder")
    check_free(directory, directory.absolute(), overwrite=overwrite, names=_present(directory, name))


def _present(directory: Path, name: str) -> list[str]:
    """Pictures of earlier runs."""
    pattern = name_pattern(name)
    return [each for each in os.listdir(directory) if pattern.fullmatch(each)] if directory.is_dir() else []
