"""Bounded hand-over between threads in which the newest items win: nobody waits for a slow consumer."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, Protocol, TypeVar


class Releasable(Protocol):
    """A holding of something that must be given back, such as a `runtime.frames.ring.Lease`."""

    def release(self) -> None:
        """Give it back."""


T = TypeVar("T", bound=Releasable)


class Latest(Generic[T]):
    """Queue of a few items, given out in order; a newer one pushes the oldest out, which is released and counted.

    Any thread may call any method; only ``wait`` and ``take`` wait, for as long as they are told.
    """

    def __init__(self, most_waiting: int = 1, changed: threading.Condition | None = None) -> None:
        """Begin empty; ``changed`` is notified of every item, and held by who does several steps as one."""
        if most_waiting < 1:
            raise ValueError(f"{most_waiting} items may wait: must be 1 or more")
        self._most_waiting = most_waiting
        self._changed = changed or threading.Condition()
        self._waiting: deque[T] = deque()
        self.taken = 0
        """Items that the consumer got."""
        self.pushed_out = 0
        """Items that gave way to newer ones."""

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """True where the next item pushes the oldest out."""
        return len(self._waiting) >= self._most_waiting

    @property
    def newest(self) -> T | None:
        """The newest item, which stays; to be used only while ``changed`` is held."""
        return self._waiting[-1] if self._waiting else None

    def put(self, item: T) -> None:
        """Take an item over, in place of the oldest if the queue is full."""
        with self._changed:
            if self.is_full:
                self._waiting.popleft().release()
                self.pushed_out += 1
            self._waiting.append(item)
            self._changed.notify_all()

    def push_out(self) -> bool:
        """Release the oldest item; False if there is none."""
        with self._changed:
            if not self._waiting:
                return False
            self._waiting.popleft().release()
            self.pushed_out += 1
            return True

    def wait(self, timeout_s: float) -> bool:
        """Wait for an item, at most ``timeout_s``; returns True if there is one."""
        with self._changed:
            return bool(self._waiting) or self._changed.wait_for(lambda: bool(self._waiting), timeout_s)

    def take(self, timeout_s: float = 0.0) -> T | None:
        """The oldest item, now the caller's to release; None after ``timeout_s`` without one."""
        with self._changed:
            if not self._waiting and not self.wait(timeout_s):
                return None
            self.taken += 1
            return self._waiting.popleft()

    def clear(self) -> int:
        """Release all items; returns how many there were."""
        with self._changed:
            count = len(self._waiting)
            while self._waiting:
                self._waiting.popleft().release()
            return count
