"""What HTTP may take of the device, so that no client disturbs the loop over frames."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on connections and requests."""

    connections: int = 256
    """Open at a time."""
    accepts_hz: float = 100.0
    """New connections a second in the long run; further ones wait in the kernel."""
    requests_hz: float = 150.0
    """Requests a second in the long run; further ones wait."""
    idle_s: float = 15.0
    """A connection must bring a whole request within this time, the first and every other."""
    least_idle_s: float = 1.0
    """An idle connection is not closed sooner than this to make room for another."""
    unread_bytes: int = 64 * 1024
    """Most that a client may send beyond the request that is being answered."""
    body_bytes: int = 16 * 1024
    """Most in a request's body."""
    answer_s: float = 15.0
    """Most time for an answer that is no stream."""
    stall_s: float = 20.0
    """A client that reads nothing for so long is cut off."""
    stream_s: float = 3600.0
    """Most time for a download."""
    send_buffer_bytes: int = 128 * 1024
    """What the kernel keeps for a slow reader: pictures that lie there get old."""
    downloads: int = 8
    """Clips that are sent at a time."""


class TokenBucket:
    """Lets so many a second pass, some more after a pause; the others wait in order."""

    def __init__(self, rate_hz: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_hz, self._burst, self._clock = rate_hz, burst, clock
        self._tokens, self._filled_s = burst, clock()

    def reserve(self) -> float:
        """Take a token, perhaps one that is not there yet; returns the seconds until it is."""
        now_s = self._clock()
        self._tokens = min(self._burst, self._tokens + (now_s - self._filled_s) * self._rate_hz)
        self._filled_s = now_s
        self._tokens -= 1
        return max(0.0, -self._tokens / self._rate_hz)

    def try_take(self) -> bool:
        """Take a token if there is one."""
        wait_s = self.reserve()
        if wait_s:
            self._tokens += 1
        return not wait_s

    async def take(self) -> None:
        """Wait for a token."""
        wait_s = self.reserve()
        if wait_s:
            await asyncio.sleep(wait_s)
