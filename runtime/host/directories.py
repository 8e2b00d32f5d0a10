"""Atomic result directories: filled under a temporary name beside their place, and only then moved into it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from tremorscope.files import flush_entry
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import cannot_be_written


@contextlib.contextmanager
def whole_directory(path: Path, *, overwrite: bool, names: Collection[str]) -> Iterator[Path]:
    """A new directory to be filled, which becomes ``path`` at the end; after any exception nothing is left of it.

    Args:
        path: place of the results; it may exist if it is empty.
        overwrite: replace results of an earlier run.
        names: the files that a run leaves. A directory that holds any other is never replaced.

    Raises:
        OutputFault: there is something in the way, or it cannot be written.
    """
    place = Path(os.path.abspath(path)) if not path.is_symlink() else path.resolve()
    scratch = scratch_of(place, os.getpid())
    made = _make(path, place, scratch, overwrite=overwrite, names=names)
    try:
        yield scratch
        _flush(scratch)
        _check_free(path, place, overwrite=overwrite, names=names)
        _move(path, place, scratch)
        flush_entry(place.parent)
        made = []
    except OSError as error:
        raise cannot_be_written(path, error) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        for parent in made:
            with contextlib.suppress(OSError):  # another process may use it by now
                parent.rmdir()


def scratch_of(place: Path, pid: int) -> Path:
    """Directory that a process fills for ``place``; one that was killed leaves it."""
    return place.parent / f".{place.name}.partial-{pid}"


def _make(path: Path, place: Path, scratch: Path, *, overwrite: bool, names: Collection[str]) -> list[Path]:
    """Make the scratch directory; returns the parents that had to be made for it, innermost first."""
    try:
        _check_free(path, place, overwrite=overwrite, names=names)
        missing = [parent for parent in place.parents if not parent.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
    except OSError as error:
        raise cannot_be_written(path, error) from None
    return missing


def _check_free(path: Path, place: Path, *, overwrite: bool, names: Collection[str]) -> None:
    if not place.name:
        raise OutputFault(f"{path}: the root directory cannot be replaced", remedy="name a new directory")
    if not place.exists():
        return
    if not place.is_dir():
        raise OutputFault(f"{path}: is a file", remedy="name a directory")
    present = sorted(each.name for each in place.iterdir())
    foreign = [name for name in present if name not in names]
    if foreign:
        raise OutputFault(
            f"{path}: holds other files, such as {foreign[0]}", remedy="name a new or an empty directory"
        )
    if present and not overwrite:
        raise OutputFault(
            f"{path}: holds earlier results",
            remedy="name another directory, or replace them with --overwrite",
        )


def _flush(directory: Path) -> None:
    """Flush all of a directory: after a power cut a new name must not lead to old or empty files."""
    for each in sorted(directory.rglob("*"), reverse=True):
        flush_entry(each)
    flush_entry(directory)


def _move(path: Path, place: Path, scratch: Path) -> None:
    if not place.exists():
        scratch.replace(place)
        return
    old = place.with_name(f".{place.name}.replaced-{os.getpid()}")
    place.replace(old)
    try:
        scratch.replace(place)
    except OSError as error:
        old.replace(place)
        raise cannot_be_written(path, error) from None
    shutil.rmtree(old, ignore_errors=True)
