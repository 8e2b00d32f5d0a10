"""Alarms, events, series and clips from the store, read in threads beside the event loop, and their download."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.health import Health
from tremorscope.runtime.host.threads import step_back
from tremorscope.runtime.outputs.web import answers
from tremorscope.runtime.outputs.web.listener import answering
from tremorscope.runtime.outputs.web.modes import latest_modes
from tremorscope.runtime.outputs.web.questions import KINDS
from tremorscope.runtime.store.disk import OpenDatabase
from tremorscope.runtime.store.export import series_csv
from tremorscope.runtime.store.overview import read_overview
from tremorscope.runtime.store.pages import Cursor, HistoryKind, read_page
from tremorscope.runtime.store.reader import StoreReader
from tremorscope.runtime.store.sqlite_file import StoreDamagedFault, StoreFault

_T = TypeVar("_T")
_FIRST = 200
"""Records of each kind on the first page."""
_FRESH_S = 2.0
"""Time for which an answer serves all requests."""
_CLIP_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z.-]{0,80}\.mp4")


class Archive:
    """Reader of the store for requests; a failure is reported, and the next request tries again."""

    def __init__(
        self, store: Path | None, clips: Path | None, on_damage: Callable[[], None] = lambda: None
    ) -> None:
        self._store, self._clips, self._on_damage = store, clips, on_damage
        self._reader: StoreReader | None = None
        self._files: OpenDatabase | None = None
        self._mutex = threading.Lock()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="web archive")
        self._answer: tuple[float, dict[str, Any]] = (-_FRESH_S, {})
        self._asking: asyncio.Lock | None = None

    async def history(self) -> dict[str, Any]:
        """The latest alarms, events and notices, the latest first, and the cursors of the pages before them.

        ``trouble`` is the reason if they cannot be read.
        """
        self._asking = self._asking or asyncio.Lock()
        async with self._asking:  # one query at a time, and its answer for all waiting requests
            if time.monotonic() - self._answer[0] >= _FRESH_S:
                found = await self.apart(lambda: self._read(dict.fromkeys(KINDS, (None, _FIRST))))
                self._answer = (time.monotonic(), found)
            return self._answer[1]

    async def page(self, kind: HistoryKind, before: Cursor | None, most: int) -> dict[str, Any]:
        """One page of a kind: ``most`` records before a cursor, the latest first; see `history`."""
        return await self.apart(lambda: self._read({kind: (before, most)}))

    async def overview(self, region: str, from_s: float, to_s: float) -> dict[str, Any]:
        """A region over days or months, with alarms and events; ``trouble`` is the reason if it cannot be read."""
        return await self.apart(lambda: self._ask(lambda reader: read_overview(reader, region, from_s, to_s)))

    async def apart(self, read: Callable[[], _T]) -> _T:
        """Result of something that reads the disk, beside the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, read)

    async def modes(self, health: Health) -> dict[str, Any]:
        """The latest modes (`latest_modes`), by the places of the regions now; ``trouble`` as in `history`."""
        return await self.apart(lambda: self._ask(lambda reader: latest_modes(reader, health)))

    async def clip(self, file: str) -> Path | None:
        """Path of a saved clip; None if none of this name is listed as saved."""
        clips = self._clips
        if clips is None or not _CLIP_NAME.fullmatch(file):
            return None
        return await self.apart(lambda: self._find(clips, file))

    async def series(self, from_s: float, to_s: float) -> AsyncIterator[bytes]:
        """Displacements from a Unix time to another as CSV, in parts, read by a connection and a thread of their own.

        Raises:
            StoreFault: the store cannot be read.
        """
        if self._store is None:
            raise StoreFault("nothing is stored", remedy="set store.directory")
        loop = asyncio.get_running_loop()
        pool = ThreadPoolExecutor(1, thread_name_prefix="web series", initializer=step_back)
        reader: StoreReader | None = None
        try:
            reader = await loop.run_in_executor(pool, StoreReader, self._store)
            parts = series_csv(reader, from_s, to_s)
            begun_s = time.monotonic()
            while (part := await loop.run_in_executor(pool, next, parts, None)) is not None:
                # Pause as long as the read took: at most half of the time is taken from measurement.
                await asyncio.sleep(time.monotonic() - begun_s)
                yield part.encode()
                begun_s = time.monotonic()
        except StoreDamagedFault:
            self._on_damage()
            raise
        finally:
            # Closed in the pool, after the running query: the event loop must not wait for a disk that hangs.
            if reader is not None:
                pool.submit(reader.close)
            pool.shutdown(wait=False)

    def close(self) -> None:
        """Close the store."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._mutex:
            self._forget()

    def _read(self, asked: Mapping[HistoryKind, tuple[Cursor | None, int]]) -> dict[str, Any]:
        found: dict[str, Any] = {kind: [] for kind in asked} | {"next": dict.fromkeys(asked), "trouble": ""}
        if self._store is None:
            return found | {"trouble": "nothing is stored"}
        with self._mutex:
            try:
                for kind, (before, most) in asked.items():
                    page = read_page(self._open(), kind, before, most)
                    found[kind] = answers.history(page.records)
                    found["next"][kind] = None if page.next is None else "{!r},{}".format(*page.next)
            except Fault as fault:
                self._forget(fault)
                found["trouble"] = str(fault)
        return found

    def _ask(self, question: Callable[[StoreReader], Any]) -> dict[str, Any]:
        if self._store is None:
            return {"trouble": "nothing is stored"}
        with self._mutex:
            try:
                found = question(self._open())
            except Fault as fault:
                self._forget(fault)
                return {"trouble": str(fault)}
        return {"trouble": "", **answers.plain(found)}

    def _find(self, clips: Path, file: str) -> Path | None:
        path = clips / file
        with self._mutex:
            try:
                listed = self._open().is_saved(file)
            except Fault as fault:
                self._forget(fault)
                return None
        return path if listed and path.is_file() and not path.is_symlink() else None

    def _open(self) -> StoreReader:
        assert self._store is not None
        if self._reader is None or not (self._files and self._files.is_in_place):
            self._forget()  # the service may have begun another store in its place
            self._reader = StoreReader(self._store)
            self._files = OpenDatabase(self._store, "-wal")
        return self._reader

    def _forget(self, fault: Fault | None = None) -> None:
        if isinstance(fault, StoreDamagedFault):
            self._on_damage()
        if self._reader is not None:
            self._reader.close()
            self._reader = None


class ClipResponse(web.FileResponse):
    """Response with a clip, sent after the handler has returned, within a time, and counted while it is sent."""

    def __init__(
        self,
        path: Path,
        *,
        headers: Mapping[str, str],
        sending: Callable[[], contextlib.AbstractContextManager[None]],
        longest_s: float,
    ) -> None:
        super().__init__(path, headers=headers)
        self._sending, self._longest_s = sending, longest_s

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the file, as aiohttp does."""
        with self._sending(), answering(request):
            return await asyncio.wait_for(super().prepare(request), self._longest_s)


async def send_parts(
    response: web.StreamResponse, request: web.Request, first: bytes, parts: AsyncIterator[bytes]
) -> None:
    """Send a response in parts, of which the first is read already."""
    await response.prepare(request)
    await response.write(first)
    async for part in parts:
        await response.write(part)
    await response.write_eof()
