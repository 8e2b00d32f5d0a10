"""A clip that comes by standard input, kept in a file while it is read: what needs several passes works on it too."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from tremorscope.runtime.clips.containers import pictures_of
from tremorscope.runtime.errors import ClipFault, OptionFault
from tremorscope.runtime.host.files import cannot_be_written

STDIN = Path("-")
_WORDS = "standard input"


@contextmanager
def piped_clip(clip: Path, beside: Path) -> Iterator[Path]:
    """A clip as it is; that of standard input as a file beside an output, removed in the end, and named so in faults.

    Raises:
        OptionFault: nothing is piped in.
        ClipFault: what came is empty, or no clip.
        OutputFault: there is no room for it.
    """
    if clip != STDIN:
        yield clip
        return
    if sys.stdin is None or sys.stdin.isatty():
        raise OptionFault(
            "-: standard input is a terminal",
            remedy="pipe a clip in, as cat clip.mkv | tremorscope magnify - ...",
        )
    place = _place(beside)
    try:
        folder = Path(mkdtemp(dir=place, prefix=".piped-"))
    except OSError as error:
        raise cannot_be_written(place, error) from None
    path = folder / _WORDS
    try:
        try:
            with path.open("wb") as file:
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
        shutil.rmtree(folder, ignore_errors=True)


def _place(beside: Path) -> Path:
    """The nearest folder beside an output that exists; a folder of pictures is to stay empty."""
    pictures = pictures_of(beside)
    return next(each for each in (pictures[0] if pictures else beside).absolute().parents if each.is_dir())


def _remedy(remedy: str, path: str) -> str:
    """A remedy that asks for no command on the file, which is gone."""
    if path in remedy:
        return "write it into a file first, and see what is said of that"
    if "video clip" in remedy:
        return "send a stream that names its format, such as ffmpeg's -f matroska, nut or yuv4mpegpipe"
    return remedy
