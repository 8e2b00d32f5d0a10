"""Atomic result files and directories, filled under a temporary name beside their place, and the faults of those
that cannot be written; and small files of the kernel, any of which may be missing, empty or unreadable.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import json
import os
import re
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path, PurePath
from typing import Any, BinaryIO

from tremorscope.files import flush_entry, reason_of, replacement
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
            f"{path}: there is no directory {path.parent}", remedy="make the directory first, or name another"
        )
    if not os.access(path.parent, os.W_OK):
        is_fixed = os.statvfs(path.parent).f_flag & os.ST_RDONLY
        raise OutputFault(
            f"{path}: {path.parent} {'is on a read-only file system' if is_fixed else 'may not be written to'}",
            remedy="name a directory that you may write to",
        )
    if path.exists() and not overwrite:
        raise OutputFault(f"{path}: exists already", remedy="name another file, or add --overwrite")


def cannot_be_written(path: Path, error: Exception) -> OutputFault:
    """Fault for an error of the system, or one that a library passes on, while a result was written."""
    if getattr(error, "errno", None) == errno.ENOSPC:
        return OutputFault(f"{path}: the disk is full", remedy="free some space, or name another directory")
    reason = reason_of(error)
    other = getattr(error, "filename", None)
    if isinstance(other, str) and not _lies_at(other.removeprefix("file:"), path):
        return OutputFault(f"{path}: not made, for {other}: {reason}", remedy="check that file or directory")
    if isinstance(error, OSError) and error.errno is None:  # of a library, and perhaps not of the disk
        return OutputFault(f"{path}: not made ({reason})", remedy="mend what that names, or report it")
    return OutputFault(
        f"{path}: cannot be written ({reason})", remedy="name a directory that you may write to"
    )


def _lies_at(file: str, place: Path) -> bool:
    """True for a place, what lies in it, its directories, and its scratch, whose name holds that of the place."""
    whole, there = Path(os.path.realpath(place)), Path(os.path.realpath(file))
    return there in (whole, *whole.parents) or any(
        each.parent == whole.parent and whole.name in each.name for each in (there, *there.parents)
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
    scratch = place.parent / f".{place.name}.partial-{os.getpid()}"
    made = _make(path, place, scratch, overwrite=overwrite, names=names)
    try:
        yield scratch
        _flush(scratch)
        check_free(path, place, overwrite=overwrite, names=names)
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


def remove_scratch(place: Path) -> None:
    """Remove the scratch directories of ``place`` that processes have left when they were killed."""
    for scratch in place.parent.glob(f".{glob.escape(place.name)}.partial-*"):
        shutil.rmtree(scratch, ignore_errors=True)


def _make(path: Path, place: Path, scratch: Path, *, overwrite: bool, names: Collection[str]) -> list[Path]:
    """Make the scratch directory; returns the parents that had to be made for it, innermost first."""
    try:
        check_free(path, place, overwrite=overwrite, names=names)
        missing = [parent for parent in place.parents if not parent.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
    except OSError as error:
        raise cannot_be_written(path, error) from None
    return missing


def check_free(path: Path, place: Path, *, overwrite: bool, names: Collection[str]) -> None:
    """Check that a directory of results can be made at a place: see `whole_directory`.

    Raises:
        OutputFault: there is something in the way.
    """
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


def kernel_text(path: Path) -> str:
    """Text of a file, without blanks around it; empty where it cannot be read."""
    try:
        # Device-tree files end with a zero byte.
        return path.read_text(encoding="utf-8", errors="replace").strip("\0 \t\n")
    except OSError:  # e.g. EAGAIN of a thermal zone whose part of the chip is switched off
        return ""


def kernel_number(path: Path) -> int | None:
    """Integer in a file; None where there is none, e.g. ``<not supported>``."""
    try:
        value = int(kernel_text(path))
    except ValueError:
        return None
    return value if abs(value) < 2**64 else None


def kernel_entries(directory: Path, pattern: str) -> list[Path]:
    """Entries of a directory, sorted; none where it is missing, or disappears meanwhile."""
    try:
        return sorted(directory.glob(pattern))
    except OSError:
        return []


def meminfo(root: Path = Path("/")) -> dict[str, int]:
    """Sizes of memory, swap and contiguous memory in bytes, by the kernel's names, e.g. ``MemAvailable``."""
    stated = re.findall(r"^(\w+):\s+(\d+) kB", kernel_text(root / "proc/meminfo"), re.MULTILINE)
    return {name: 1024 * int(kilobytes) for name, kilobytes in stated}


def l4t_release(root: Path) -> str | None:
    """Release of Jetson Linux, e.g. 36.4.3, from ``# R36 (release), REVISION: 4.3, GCID: ...``."""
    found = re.search(r"R(\d+) \(release\), REVISION: ([\d.]+)", kernel_text(root / "etc/nv_tegra_release"))
    return f"{found[1]}.{found[2]}" if found else None


def power_mode_number(root: Path) -> int | None:
    """Number of the power mode that was set last, from ``pmode:0002 ...``."""
    found = re.search(r"pmode:(\d+)", kernel_text(root / "var/lib/nvpmodel/status"))
    return int(found[1]) if found else None


def default_power_mode(root: Path) -> int | None:
    """Number of the power mode that holds before any is set."""
    found = re.search(r"PM_CONFIG\s+DEFAULT=(\d+)", kernel_text(root / "etc/nvpmodel.conf"))
    return int(found[1]) if found else None


def power_modes(root: Path) -> dict[int, str]:
    """Number and name of each power mode of this board, e.g. 2 and ``MAXN_SUPER``."""
    stated = re.findall(
        r"<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", kernel_text(root / "etc/nvpmodel.conf")
    )
    return {int(number): name for number, name in stated}


def natural_order(path: str | PurePath) -> tuple[tuple[int, int, str], ...]:
    """Key to sort paths by, in which ``shot10`` comes after ``shot9``.

    >>> sorted(['shot10.png', 'shot9.png', 'Shot1.png'], key=natural_order)
    ['Shot1.png', 'shot9.png', 'shot10.png']
    """
    parts = re.split(r"(\d+)", str(path))
    return tuple(
        (0, int(part), part) if part.isdecimal() else (1, 0, part.casefold()) for part in parts if part
    )
