"""Live pictures for any number of viewers: each is composed and encoded as JPEG once, without holding Python's
global lock; slow viewers miss some.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from tremorscope.runtime.frames.frame import View, ViewComposer
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.picture import LiveFrame
from tremorscope.runtime.outputs.settings import HttpSettings

_CHROMA_PX = 2
"""Divisor of width and height, as colours are sampled at half the resolution."""
_FULL_RANGE = 2


def scale_of(quality: int) -> int:
    """FFmpeg's quantiser for a JPEG quality of 1 to 100.

    The quantisation tables are multiplied by 50/quality below 50 and by 2 - quality/50 from there on (the IJG's
    convention, libjpeg); FFmpeg's by q/8.
    """
    factor = 50 / quality if quality < 50 else 2 - quality / 50
    return min(max(round(8 * factor), 2), 31)


class JpegEncoder:
    """Encoder of pictures of one size, in preallocated memory. For one thread at a time."""

    def __init__(self, *, width_px: int, height_px: int, most_width_px: int, quality: int) -> None:
        """Allocate for the filmed size, or for the same shape of ``most_width_px`` if that is narrower."""
        shrink = min(1.0, most_width_px / width_px)
        self.width_px = _even(width_px * shrink)
        self.height_px = _even(height_px * shrink)
        self._reformatter = VideoReformatter()
        self._context = context = av.CodecContext.create("mjpeg", "w")
        context.width, context.height = self.width_px, self.height_px
        context.pix_fmt, context.time_base = "yuvj420p", Fraction(1, 1000)
        context.color_range = _FULL_RANGE
        context.thread_count = 1
        scale = str(scale_of(quality))
        context.options = {"qmin": scale, "qmax": scale}

    def encode(self, picture: NDArray[np.uint8]) -> bytes:
        """Encode a picture, u8[H, W, 3] RGB and contiguous, as a JPEG file (full-range BT.601, as JFIF says)."""
        frame = av.VideoFrame.from_numpy_buffer(picture, "rgb24")
        shown = self._reformatter.reformat(
            frame,
            width=self.width_px,
            height=self.height_px,
            format="yuvj420p",
            dst_color_range=_FULL_RANGE,
            interpolation="AREA" if self.width_px < picture.shape[1] else "BILINEAR",
        )
        return b"".join(bytes(packet) for packet in self._context.encode(shown))


def _even(size_px: float) -> int:
    return max(_CHROMA_PX, int(size_px) // _CHROMA_PX * _CHROMA_PX)


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
