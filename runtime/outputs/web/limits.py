"""HttpLimits on the resources that HTTP may use, so that no client disturbs the frame loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

_NO_DEBT_S = 1e-4
"""Debt below which it counts as a rounding error."""


@dataclass(frozen=True)
class HttpLimits:
    """Bounds on connections and requests."""

    connections: int = 256
    """Connections open at a time."""
    cpu_share: float = 0.06
    """Share of one core, in the long run, for everything but the sending of pictures: beyond it requests wait."""
    cpu_burst_s: float = 0.3
    """Processor time that may be used at once after a pause."""
    accepts_hz: float = 100.0
    """New connections a second in the long run; further ones wait in the kernel."""
    requests_hz: float = 150.0
    """Requests a second in the long run; further ones wait."""
    idle_s: float = 15.0
    """Time within which a connection must bring a whole request, the first and every other."""
    least_idle_s: float = 1.0
    """Idle time before which a connection is not closed to make room for another."""
    unread_bytes: int = 64 * 1024
    """Most bytes that a client may send beyond the request that is being answered."""
    body_bytes: int = 16 * 1024
    """Most bytes in a request's body."""
    answer_s: float = 15.0
    """Most time for an answer that is not a stream."""
    stall_s: float = 20.0
    """Time after which a client that reads nothing is disconnected."""
    stream_s: float = 3600.0
    """Most time for a download."""
    send_buffer_bytes: int = 128 * 1024
    """Send buffer in the kernel for a slow reader: pictures in it get old."""
    downloads: int = 8
    """Clips and series that are sent at a time."""


class TokenBucket:
    """Token bucket: admits a rate in the long run and a burst after a pause; the others wait in order."""

    def __init__(self, rate_hz: float, burst: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate_hz, self._burst, self._clock = rate_hz, burst, clock
        self._tokens, self._filled_s = burst, clock()

    def reserve(self) -> float:
        """Take a token, in advance if there is none; returns the seconds until it is due."""
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


class CpuBudget:
    """Budget that keeps the event loop's thread to a share of one core: work begins only while there is credit.

    Python runs one thread at a time, so answering takes its time from the frame loop. Running streams are counted,
    but not delayed.
    """

    def __init__(
        self,
        share: float,
        burst_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        spent: Callable[[], float] = time.thread_time,
    ) -> None:
        """Begin with full credit; to be created and used in the event loop's thread."""
        self._share, self._burst_s, self._clock, self._spent = share, burst_s, clock, spent
        self._credit_s, self._at_s, self._spent_s = burst_s, clock(), spent()
        self._turn = asyncio.Lock()

    def debt_s(self) -> float:
        """Seconds until there is credit again; 0 if there is."""
        now_s, spent_s = self._clock(), self._spent()
        earned_s = self._share * (now_s - self._at_s)
        self._credit_s = min(self._burst_s, self._credit_s + earned_s) - (spent_s - self._spent_s)
        self._at_s, self._spent_s = now_s, spent_s
        debt_s = -self._credit_s / self._share
        return debt_s if debt_s > _NO_DEBT_S else 0.0

    async def take(self) -> None:
        """Wait for credit, in order: requests begin one after the other, not all at once."""
        async with self._turn:
            while debt_s := self.debt_s():
                await asyncio.sleep(min(debt_s, 0.5))
            await asyncio.sleep(0)  # the request that begins now is counted before the next one takes credit
