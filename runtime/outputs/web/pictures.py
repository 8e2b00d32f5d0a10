"""Live pictures for any number of viewers: each is composed and encoded once; slow viewers miss some."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.clips.jpeg import JpegEncoder
from tremorscope.runtime.frames.views import View, ViewComposer
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed, LiveFrame
from tremorscope.runtime.outputs.settings import HttpSettings

_POLL_S = 0.5
BOUNDARY = b"picture"
"""Boundary of the parts of a multipart stream."""


@dataclass(frozen=True)
class EncodedPicture:
    """One picture of one view."""

    sequence: int
    time_s: float
    """Unix time of the capture."""
    jpeg: bytes

    def as_part(self) -> bytes:
        """The picture as one part of multipart/x-mixed-replace, with the boundary behind it.

        Browsers show a picture when they have received the boundary that follows it.
        """
        head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\nX-Timestamp: %.3f\r\n\r\n"
        return head % (len(self.jpeg), self.time_s) + self.jpeg + b"\r\n--%b\r\n" % BOUNDARY


class _Renderer:
    """Composer and encoder of one view, for the encoding thread alone."""

    def __init__(self, view: View, feed: LiveFeed, settings: HttpSettings) -> None:
        width_px, height_px = feed.width_px, feed.height_px
        self._composer = ViewComposer(view, width_px=width_px, height_px=height_px)
        self._picture: NDArray[np.uint8] = np.zeros((height_px, width_px, 3), np.uint8)
        self._encoder = JpegEncoder(
            width_px=width_px,
            height_px=height_px,
            most_width_px=settings.picture_width_px,
            quality=settings.picture_quality,
        )

    def render(self, frame: LiveFrame) -> EncodedPicture:
        """Compose and encode one picture; a frame that was not magnified is shown as filmed."""
        magnified = frame.frame if frame.magnified is None else frame.magnified
        self._composer.compose(frame.frame, magnified, self._picture)
        return EncodedPicture(frame.info.sequence, frame.info.time_s, self._encoder.encode(self._picture))


class LivePictures:
    """Encoding thread, which works while there are viewers, and hands the pictures to an event loop.

    All methods except ``close`` are called in the event loop.
    """

    def __init__(self, feed: LiveFeed, settings: HttpSettings, threads: Threads | None = None) -> None:
        self._feed, self._settings = feed, settings
        self._threads = threads or Threads()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wanted: Counter[View] = Counter()
        self._changed = threading.Condition()
        self._stopping = False
        self._newest: dict[View, EncodedPicture] = {}
        self._arrival = asyncio.Event()
        self.encoded = 0
        """Pictures that were encoded, all views together."""

    def start(self) -> None:
        """Start the thread; called in the event loop that will get the pictures."""
        self._loop = asyncio.get_running_loop()
        self._thread = self._threads.start("live pictures", self._run, again=True, owned=True)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(2 * _POLL_S)

    @property
    def viewers(self) -> int:
        """Number of viewers."""
        return sum(self._wanted.values())

    @contextlib.contextmanager
    def watch(self, view: View) -> Iterator[None]:
        """Register a viewer of a view for as long as the context lasts."""
        with self._feed.watch():
            with self._changed:
                self._wanted[view] += 1
                self._changed.notify_all()
            try:
                yield
            finally:
                with self._changed:
                    self._wanted[view] -= 1
                    if not self._wanted[view]:
                        del self._wanted[view]
                        self._newest.pop(view, None)  # the next viewer must not get an old picture

    async def following(self, view: View, after_sequence: int, timeout_s: float) -> EncodedPicture | None:
        """The newest picture of a watched view after ``after_sequence``; None if none comes in time."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            picture = self._newest.get(view)
            if picture is not None and picture.sequence > after_sequence:
                return picture
            left_s = deadline_s - time.monotonic()
            if left_s <= 0:
                return None
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._arrival.wait(), left_s)

    def _run(self) -> None:
        renderers: dict[View, _Renderer] = {}
        sequence, due_s = -1, 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wanted or self._stopping)
                if self._stopping:
                    return
                wanted = tuple(self._wanted)
            frame = self._feed.latest(sequence, _POLL_S)
            if frame is None:
                if self._feed.closed:
                    return
                continue
            sequence = frame.info.sequence
            with frame:
                for view in wanted:
                    if view not in renderers:
                        renderers[view] = _Renderer(view, self._feed, self._settings)
                pictures = {view: renderers[view].render(frame) for view in wanted}
            self._hand_over(pictures)
            now_s = time.monotonic()
            due_s = max(due_s + 1 / self._settings.picture_rate_hz, now_s)
            with self._changed:
                self._changed.wait_for(lambda: self._stopping, due_s - now_s)

    def _hand_over(self, pictures: dict[View, EncodedPicture]) -> None:
        self.encoded += len(pictures)
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._publish, pictures)

    def _publish(self, pictures: dict[View, EncodedPicture]) -> None:
        self._newest |= {view: each for view, each in pictures.items() if self._wanted[view]}
        self._arrival.set()
        self._arrival.clear()
