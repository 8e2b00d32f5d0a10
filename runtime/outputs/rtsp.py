"""Publisher of the live picture to a media server such as MediaMTX, which serves any number of players.

One thread connects, encodes and sends, and reconnects for ever. Without a connection it does not watch the feed, so
that magnification may pause.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from tremorscope.runtime.clips.h264 import Encoder, EncodingSettings, open_encoder
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.frames.frame import Colour, ViewComposer
from tremorscope.runtime.health import HealthBoard
from tremorscope.runtime.host.secrets import check_login
from tremorscope.runtime.host.threads import Threads
from tremorscope.runtime.live.feed import LiveFeed
from tremorscope.runtime.live.picture import LiveFrame
from tremorscope.runtime.outputs.metrics import Counts
from tremorscope.runtime.outputs.settings import RtspSettings

TIME_BASE = Fraction(1, 90_000)
_POLL_S = 0.5
_PAUSES_S = (1.0, 30.0)
_KEY_PICTURE_EVERY_S = 1.0
_INTERNET = (socket.AF_INET, socket.AF_INET6)
_BT709, _LIMITED_RANGE = 1, 1


class RtspPublisher:
    """Publisher of one live stream, from start to close."""

    def __init__(
        self,
        settings: RtspSettings,
        *,
        board: HealthBoard,
        feed: LiveFeed,
        password: str | None = None,
        stall_s: float = 10.0,
        threads: Threads | None = None,
    ) -> None:
        """Prepare; nothing is opened yet.

        Args:
            settings: address of the server, and settings of the stream.
            board: status board that takes the output's status.
            feed: the live pictures.
            password: password of ``settings.username``.
            stall_s: time without an answer, or without data taken, after which the server is connected to anew.
            threads: starter of the publishing thread.

        Raises:
            OptionFault: there is a password and no username.
        """
        check_login("outputs.rtsp", settings.username, password)
        self._settings, self._board, self._feed, self._stall_s = settings, board, feed, stall_s
        self._url = _with_credentials(settings.url, settings.username, password)
        # H.264 with colours at half resolution needs even sizes: at most one column and row are left out.
        self._width_px, self._height_px = feed.width_px // 2 * 2, feed.height_px // 2 * 2
        self._composer = ViewComposer(settings.view, width_px=feed.width_px, height_px=feed.height_px)
        self._picture: NDArray[np.uint8] = np.zeros((feed.height_px, feed.width_px, 3), np.uint8)
        self._stopping = threading.Event()
        self._counts = {"published": 0, "connections": 0}
        self._threads = threads or Threads()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start publishing; returns at once."""
        self._thread = self._threads.start("rtsp", self._run, again=True, owned=True)

    def counts(self) -> Counts:
        """Pictures that the server has taken, and connections made."""
        return {"rtsp": dict(self._counts)}

    def close(self, timeout_s: float = 3.0) -> None:
        """Stop publishing, within ``timeout_s``."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause_s = _PAUSES_S[0]
        while not self._stopping.is_set():
            before = self._counts["published"]
            try:
                with self._connection() as (container, encoder), self._feed.watch():
                    self._report("")
                    self._publish(container, encoder)
            except Fault as fault:
                self._report(f"{fault}; trying again")
            except (FFmpegError, OSError) as error:
                # Not the error's own text: it contains the address with the password.
                reason = error.strerror or type(error).__name__
                self._report(f"{self._settings.url}: {reason.lower()}; trying again")
            if self._counts["published"] > before:
                pause_s = _PAUSES_S[0]
            self._stopping.wait(pause_s)
            pause_s = min(2 * pause_s, _PAUSES_S[1])

    @contextlib.contextmanager
    def _connection(self) -> Iterator[tuple[Any, Encoder]]:
        settings = self._settings
        options = {"rtsp_transport": settings.transport, "timeout": str(round(1e6 * self._stall_s))}
        coding = EncodingSettings(
            self._width_px,
            self._height_px,
            rate_hz=settings.rate_hz,
            time_base=TIME_BASE,
            key_every=max(1, round(_KEY_PICTURE_EVERY_S * settings.rate_hz)),
            bitrate_kbps=settings.bitrate_kbps,
            colour=Colour(matrix=_BT709),
        )
        container: Any = av.open(self._url, "w", format="rtsp", options=options)
        encoder: Encoder | None = None
        try:
            encoder = open_encoder(container, coding, settings.encoder, "the live stream")
            container.start_encoding()
            port = urlsplit(settings.url).port or (322 if settings.url.startswith("rtsps") else 554)
            _bound_sending(port, self._stall_s)
            self._counts["connections"] += 1
            yield container, encoder
        finally:
            if encoder is not None:
                encoder.close()
            with contextlib.suppress(FFmpegError, OSError):  # the server may be gone
                container.close()

    def _publish(self, container: Any, encoder: Encoder) -> None:
        sequence, due_s = -1, time.monotonic()
        first_s, last_ticks = 0.0, -1
        while not self._stopping.is_set() and not self._feed.closed:
            frame = self._feed.latest(sequence, _POLL_S)
            if frame is None:
                continue
            with frame:
                sequence = frame.info.sequence
                first_s = first_s or frame.info.time_s
                picture = self._compose(frame)
            last_ticks = max(last_ticks + 1, round((frame.info.time_s - first_s) / TIME_BASE))
            picture.pts, picture.time_base = last_ticks, TIME_BASE
            for packet in encoder.encode(picture):
                container.mux(packet)
            self._counts["published"] += 1
            due_s = max(due_s + 1 / self._settings.rate_hz, time.monotonic())
            self._stopping.wait(due_s - time.monotonic())

    def _compose(self, frame: LiveFrame) -> Any:
        magnified = frame.frame if frame.magnified is None else frame.magnified
        self._composer.compose(frame.frame, magnified, self._picture)
        even = np.ascontiguousarray(self._picture[: self._height_px, : self._width_px])
        return av.VideoFrame.from_numpy_buffer(even, "rgb24").reformat(
            format="yuv420p", dst_colorspace=_BT709, dst_color_range=_LIMITED_RANGE
        )

    def _report(self, text: str) -> None:
        self._board.update_output("rtsp", text)


def _with_credentials(url: str, username: str | None, password: str | None) -> str:
    if username is None:
        return url
    parts = urlsplit(url)
    who = quote(username, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
    return urlunsplit(parts._replace(netloc=f"{who}@{parts.netloc}"))


def _bound_sending(port: int, timeout_s: float) -> None:
    """Let the kernel end connections to this port whose data was not acknowledged for a time.

    FFmpeg waits for ever for a server that hangs, and gives no access to its socket; so every connection of this
    process to the port gets the limit, which is harmless to the others.
    """
    for name in os.listdir("/proc/self/fd"):
        try:
            if not stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                continue
            connection = socket.socket(fileno=os.dup(int(name)))
        except OSError:  # gone meanwhile
            continue
        with connection, contextlib.suppress(OSError):
            # Sockets of other families, such as a camera daemon's, have no ports.
            is_tcp = connection.family in _INTERNET and connection.type == socket.SOCK_STREAM
            if is_tcp and connection.getpeername()[1] == port:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(1e3 * timeout_s))
