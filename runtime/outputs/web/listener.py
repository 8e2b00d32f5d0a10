"""Listener that accepts connections at a bounded rate and number, and closes those that make no progress.

aiohttp sets no time limit on a client that sends a request or reads an answer.
``Guard`` stands between the transport and aiohttp and sets both a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator

from aiohttp import web

from tremorscope.runtime.outputs.web.limits import CpuBudget, HttpLimits, TokenBucket

_log = logging.getLogger(__name__)
_NO_DESCRIPTOR_S = 0.2
_HANDSHAKE_S = 5.0


class Guard(asyncio.Protocol):
    """Protocol of one connection: forwards everything to aiohttp's protocol, and enforces times and sizes."""

    def __init__(self, inner: asyncio.Protocol, listener: Listener) -> None:
        self._inner, self._listener = inner, listener
        self._limits = listener.limits
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._unread_bytes = 0
        self.answering = False
        self.idle_since_s = time.monotonic()

    def begin(self) -> None:
        """Note that a whole request has arrived and is being answered."""
        self.answering = True
        self._unread_bytes = 0
        self._disarm()

    def end(self) -> None:
        """Note that it is answered; the deadline of the next begins."""
        self.answering = False
        self.idle_since_s = time.monotonic()
        self._arm()
        self._listener.became_idle()

    def cut(self, reason: str) -> None:
        """Close the connection at once."""
        if self._transport is not None and not self._transport.is_closing():
            self._listener.refused[reason] += 1
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Register the connection, and set the deadline of its first request."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=self._limits.send_buffer_bytes // 2, low=0)
        self._listener.opened(self)
        self._arm()
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """Forward data, unless too much has arrived beyond the request that is being answered."""
        self._unread_bytes += len(data)
        if self._unread_bytes > self._limits.unread_bytes:
            self.cut("oversized")
            return
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Forward the end of the client's data."""
        return self._inner.eof_received()

    def pause_writing(self) -> None:
        """Set a deadline for a client that reads too slowly."""
        loop = asyncio.get_running_loop()
        self._stall = loop.call_later(self._limits.stall_s, self.cut, "stalled")
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Cancel the deadline of a client that has read."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the deadlines, and unregister the connection."""
        self._disarm()
        if self._stall is not None:
            self._stall.cancel()
        self._listener.closed(self)
        self._inner.connection_lost(exc)

    def _arm(self) -> None:
        self._disarm()
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(self._limits.idle_s, self.cut, "late")

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@contextlib.contextmanager
def answering(request: web.BaseRequest) -> Iterator[None]:
    """Mark a request's connection as answering, so that it does not count as idle.

    Raises:
        HTTPBadRequest: the client has disconnected.
    """
    guard = request.transport.get_protocol() if request.transport is not None else None
    if not isinstance(guard, Guard):
        raise web.HTTPBadRequest
    guard.begin()
    try:
        yield
    finally:
        guard.end()


class Listener:
    """A listening socket and its connections, in one event loop."""

    def __init__(
        self,
        listening: socket.socket,
        make_protocol: Callable[[], asyncio.Protocol],
        limits: HttpLimits,
        *,
        budget: CpuBudget,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Prepare.

        Args:
            listening: a socket that listens already.
            make_protocol: factory of the protocol of one connection: aiohttp's server.
            limits: bounds on connections and requests.
            budget: processor time; new connections wait while it is used up.
            tls: context for encryption; None serves without.
        """
        self._listening, self._make_protocol, self._tls = listening, make_protocol, tls
        self._budget = budget
        self.limits = limits
        self.refused: Counter[str] = Counter()
        """Connections that were cut: late (no request in time), oversized, stalled, evicted."""
        self._guards: dict[Guard, None] = {}
        self._joining: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    @property
    def connections(self) -> int:
        """Connections that are open, or being opened."""
        return len(self._guards) + len(self._joining)

    async def run(self) -> None:
        """Accept until cancelled."""
        loop = asyncio.get_running_loop()
        bucket = TokenBucket(self.limits.accepts_hz, burst=self.limits.accepts_hz / 2)
        self._listening.setblocking(False)
        while True:
            await self._make_room()
            await bucket.take()
            await self._budget.take()
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError as error:  # no file descriptor left, or the client has disconnected
                _log.debug("a connection could not be accepted: %s", error)
                await asyncio.sleep(_NO_DESCRIPTOR_S)
                continue
            task = loop.create_task(self._join(connection))
            self._joining.add(task)
            task.add_done_callback(self._joined)

    def close(self) -> None:
        """Cut every connection."""
        for task in self._joining:
            task.cancel()
        for guard in list(self._guards):
            guard.cut("closing")

    def opened(self, guard: Guard) -> None:
        """Register an open connection."""
        self._guards[guard] = None

    def closed(self, guard: Guard) -> None:
        """Unregister a closed connection."""
        self._guards.pop(guard, None)
        self._changed.set()

    def became_idle(self) -> None:
        """Wake the acceptor, as a connection may be closed to make room."""
        self._changed.set()

    async def _join(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self.limits.send_buffer_bytes)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(1e3 * self.limits.stall_s))
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: Guard(self._make_protocol(), self),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
            )
        except (OSError, asyncio.CancelledError):  # the client has disconnected, or does not speak TLS
            connection.close()

    def _joined(self, task: asyncio.Task[None]) -> None:
        self._joining.discard(task)
        self._changed.set()

    async def _make_room(self) -> None:
        """Wait until another connection is allowed, closing the one that has been idle longest."""
        while self.connections >= self.limits.connections:
            idle = min(
                (guard for guard in self._guards if not guard.answering),
                key=lambda guard: guard.idle_since_s,
                default=None,
            )
            now_s = time.monotonic()
            if idle is not None and now_s - idle.idle_since_s >= self.limits.least_idle_s:
                idle.cut("evicted")
                await asyncio.sleep(0)  # the loop unregisters it
                continue
            self._changed.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self.limits.least_idle_s)
