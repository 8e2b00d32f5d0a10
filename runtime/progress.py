"""Progress of a job on a terminal: a bar on stderr with frames a second and the time left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def progress_bar(title: str, unit: str = "frames") -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar while the block runs; call what it yields with the work done and the work in all, if known.

    Silent where stderr is no terminal; wiped when the block ends, so that what follows stands alone.
    """
    # A serial console tells no size, which tqdm takes for no room at all.
    columns, rows = shutil.get_terminal_size(fallback=(80, 24))
    with tqdm(desc=title, unit=f" {unit}", disable=None, leave=False, ncols=columns, nrows=rows) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = None if total is None else max(total, done)
            bar.update(done - bar.n)

        yield show
