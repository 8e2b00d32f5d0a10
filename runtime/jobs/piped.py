"""A clip that comes by standard input, kept in a file while it is read: what needs several passes works on it too."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from tremorscope.runtime.clips.containers import pictures_of
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.host.files import cannot_be_written

STDIN = Path("-")
_WORDS = "standard input"


@contextmanager
def piped_clip(beside: Path) -> Iterator[Path]:
    """The clip of standard input as a file beside an output, removed in the end; faults speak of standard input.

    Raises:
        OptionFault: nothing is piped in.
        ClipFault: what came is empty, or no clip.
        OutputFault: there is no room for it.
    """
    if sys.stdin is None or sys.stdin.isatty():
        raise OptionFault(
            "-: standard input is a terminal",
            remedy="pipe a clip in, as cat clip.mkv | tremorscope magnify - ...",
        )
    try:
        file = NamedTemporaryFile(  # noqa: SIM115 - closed before it is read
            dir=_place(beside), prefix=".piped-", delete=False
        )
    except OSError as error:
        raise cannot_be_written(_place(beside), error) from None
    path = Path(file.name)
    try:
        with file:
            try:
                shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
            except OSError as error:
                raise cannot_be_written(path, error) from None
        if path.stat().st_size == 0:
            raise ClipFault(f"{_WORDS}: is empty", remedy="look at what the program before the pipe says")
        yield path
    except ClipFault as fault:
        raise ClipFault(
            fault.what.replace(str(path), _WORDS), remedy=_remedy(fault.remedy, str(path))
        ) from None
    finally:
        with suppress(OSError):
            path.unlink()


def _place(beside: Path) -> Path:
    """Folder beside an output; of a folder of pictures, which is to be empty, the nearest one that exists."""
    if (pictures := pictures_of(beside)) is None:
        return beside.absolute().parent
    return next(each for each in pictures[0].absolute().parents if each.is_dir())


def _remedy(remedy: str, path: str) -> str:
    """A remedy that asks for no command on the file, which is gone."""
    if path in remedy:
        return "write it into a file first, and see what is said of that"
    if "video clip" in remedy:
        return "send a stream that names its format, such as ffmpeg's -f matroska, nut or yuv4mpegpipe"
    return remedy
