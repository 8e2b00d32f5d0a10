"""Progress of a job on a terminal: a bar on stderr with frames a second and the time left."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from tqdm import tqdm

Progress = Callable[[int, "int | None"], None]
"""Takes the work done, and the work in all where that is known; see `ProgressBar`."""


class ProgressBar:
    """Progress bar with the work done, the total if known, and a note."""

    def __init__(self, bar: tqdm[NoReturn]) -> None:
        self._bar = bar

    def __call__(self, done: int, total: int | None) -> None:
        """Show ``done`` of ``total``; None where the total is unknown."""
        self._bar.total = None if total is None else max(total, done)
        self._bar.update(done - self._bar.n)

    def note(self, text: str) -> None:
        """Show a few words beside the bar from its next update on."""
        self._bar.set_postfix_str(text, refresh=False)

    def line(self, text: str, *, to_stderr: bool = False) -> None:
        """Print a line to stdout, or to stderr, above the bar where there is one."""
        self._bar.write(text, file=sys.stderr if to_stderr else None)


@contextmanager
def progress_bar(title: str, unit: str = "frames") -> Iterator[ProgressBar]:
    """Show a bar while the block runs; call what it yields with the work done and the work in all, if known.

    Silent where stderr is no terminal; wiped when the block ends, so that what follows stands alone.
    """
    # A serial console states no size, which tqdm takes for a width of 0.
    columns, rows = shutil.get_terminal_size(fallback=(80, 24))
    with tqdm(desc=title, unit=f" {unit}", disable=None, leave=False, ncols=columns, nrows=rows) as bar:
        yield ProgressBar(bar)
