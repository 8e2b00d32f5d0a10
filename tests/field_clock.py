"""A clock that a simulation turns, and threads that run one at a time under it.

The product's own loops run unchanged in real threads: where they would wait or sleep, they park, and the simulation
lets one of them at a time go on, when what it waits for is there or its time has come. So a month passes in minutes,
and the same seed gives the same month.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tremorscope.runtime.host.threads import Threads

_MOST_TURNS = 100_000


class Killed(BaseException):
    """Ends a thread of a process that was killed."""


class Clock:
    """In place of the module ``time``: true time, the device's error, and what the module else has."""

    def __init__(self, true_s: float) -> None:
        self.true_s = self._booted_s = true_s
        self.error_s = 0.0
        """Device's clock minus true time."""

    def monotonic(self) -> float:
        return self.true_s - self._booted_s + 1000.0

    def time(self) -> float:
        return self.true_s + self.error_s

    def sleep(self, seconds: float) -> None:
        park(self, lambda: False, seconds)

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


class Worker(threading.Thread):
    """A thread of the product that runs when it is given its turn."""

    def __init__(self, clock: Clock, name: str, work: Callable[[], None]) -> None:
        super().__init__(name=name, daemon=True)
        self._clock, self._work = clock, work
        self._turn, self._parked = threading.Lock(), threading.Lock()
        self._turn.acquire()
        self._parked.acquire()
        self.is_ready: Callable[[], object] = lambda: True
        self.until_s = 0.0
        self.is_killed = self.has_ended = False
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        self._turn.acquire()
        try:
            if not self.is_killed:
                self._work()
        except Killed:
            pass
        except BaseException as error:
            self.error = error
        self.has_ended = True
        self._parked.release()

    def park(self, is_ready: Callable[[], object], until_s: float) -> None:
        self.is_ready, self.until_s = is_ready, until_s
        self._parked.release()
        self._turn.acquire()
        if self.is_killed:
            raise Killed

    def take_turn(self) -> bool:
        """Let it run until it waits again, if there is anything to do."""
        due = self._clock.monotonic() >= self.until_s or self.is_killed or self.is_ready()
        if self.has_ended or not due:
            return False
        self._turn.release()
        self._parked.acquire()
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        return True

    def is_alive(self) -> bool:
        return not self.has_ended

    def join(self, timeout: float | None = None) -> None:
        """Let it run to its end, or until the time is over."""
        until_s = self._clock.monotonic() + (timeout or 0.0)
        while not self.has_ended and (self.take_turn() or self._clock.monotonic() < until_s):
            if not self.is_ready() and self._clock.monotonic() < self.until_s:
                self._clock.true_s += min(1.0, max(0.0, until_s - self._clock.monotonic()) + 1e-3)


def park(clock: Clock, is_ready: Callable[[], object], seconds: float | None) -> None:
    """Wait: a worker gives its turn away, while the simulation itself never waits."""
    worker = threading.current_thread()
    assert isinstance(worker, Worker), "the simulation would wait for itself"
    worker.park(is_ready, 1e18 if seconds is None else clock.monotonic() + seconds)


class _Condition:
    """Only one thread runs at a time, so nothing needs a lock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __enter__(self) -> _Condition:
        return self

    def __exit__(self, *_: object) -> None: ...

    def notify(self) -> None: ...

    def wait_for(self, is_ready: Callable[[], object], timeout: float | None = None) -> object:
        if not is_ready():
            park(self._clock, is_ready, timeout)
        return is_ready()


class _Event:
    def __init__(self, clock: Clock) -> None:
        self._clock, self._is_set = clock, False

    def set(self) -> None:
        self._is_set = True

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        if not self._is_set:
            park(self._clock, self.is_set, timeout)
        return self._is_set


class _Threading:
    """In place of the module ``threading``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def Condition(self) -> _Condition:  # noqa: N802
        return _Condition(self._clock)

    def Event(self) -> _Event:  # noqa: N802
        return _Event(self._clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(threading, name)


class TurnedThreads(Threads):
    """Starts workers; a program error in one is raised by ``settle``."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.workers: list[Worker] = []

    def start(self, name: str, work: Callable[[], None], **_: Any) -> threading.Thread:
        self.workers.append(Worker(self._clock, name, work))
        return self.workers[-1]

    def settle(self) -> None:
        """Let all run until each of them waits."""
        for _ in range(_MOST_TURNS):
            turns = [worker.take_turn() for worker in self.workers]
            if not any(turns):
                return
        raise AssertionError("threads that never wait: " + ", ".join(each.name for each in self.workers))

    def kill(self) -> None:
        """End all where they wait, as SIGKILL does."""
        for worker in self.workers:
            worker.is_killed = True
            worker.take_turn()


@contextmanager
def turned(clock: Clock, threaded: tuple[str, ...]) -> Iterator[None]:
    """Let the product's modules see this clock, and some of them these threads, for a while."""
    replaced: list[tuple[Any, str, Any]] = []
    for name, module in list(sys.modules.items()):
        if not name.startswith("tremorscope.runtime.") or name.endswith(".threads"):
            continue
        if getattr(module, "time", None) is time:
            replaced.append((module, "time", time))
            module.time = clock  # type: ignore[attr-defined]
        if name.removeprefix("tremorscope.runtime.") in threaded:
            replaced.append((module, "threading", threading))
            module.threading = _Threading(clock)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for module, name, before in replaced:
            setattr(module, name, before)
