"""Supervised threads: a program error that ends one is logged, counted and followed by a restart or an orderly end.
And limits on the memory of a process that runs for months: what the C library's heaps, of which each thread has one,
keep, and what libraries load.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib
import logging
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from types import ModuleType

from tremorscope.runtime.errors import CameraFault, Fault

BACKGROUND = 10
"""Niceness of threads that may be late, and of all that they start."""
SECOND = 5
"""Niceness of threads that people wait for: behind measuring, but not last. Beside a busy program they get a quarter
of a core; with `BACKGROUND` it would be a tenth."""
_PAUSES_S = (1.0, 60.0)
"""First and longest pause before a failed thread is started again; each is twice the one before."""
_TOLD_FOR_S = 3600.0
"""Time for which a failure is shown as a problem."""

log = logging.getLogger("tremorscope.threads")


class Threads:
    """Starts threads, and records the program errors that end them.

    An exception that a thread's work lets out is an error in the program. It is logged with its traceback and counted;
    then the work is begun again after a pause, or all threads are to end and the exception is raised again in the main
    thread, so that the process ends and is started anew.
    """

    def __init__(self, *, pauses_s: tuple[float, float] = _PAUSES_S) -> None:
        self._pauses_s = pauses_s
        self._threads: list[threading.Thread] = []
        self._stop = threading.Event()
        self._fatal: list[BaseException] = []
        self._counts: Counter[str] = Counter()
        self._latest: dict[str, tuple[float, str]] = {}

    @property
    def stopping(self) -> bool:
        """True once all threads are to end."""
        return self._stop.is_set()

    @property
    def failures(self) -> Mapping[str, int]:
        """Program errors that ended the work of a thread, by the thread's name."""
        return dict(self._counts)

    def problems(self) -> tuple[str, ...]:
        """Line for each thread whose work was ended by a program error within the last hour."""
        since_s = time.monotonic() - _TOLD_FOR_S
        return tuple(
            f"thread {name} failed {self._counts[name]} times, the last time by {text}: report this mistake"
            for name, (at_s, text) in dict(self._latest).items()
            if at_s > since_s
        )

    def wait(self, seconds: float) -> bool:
        """Wait, at most until all threads are to end; returns True if they are."""
        return self._stop.wait(seconds)

    def start(
        self,
        name: str,
        work: Callable[[], None],
        *,
        niceness: int = 0,
        again: bool = False,
        owned: bool = False,
    ) -> threading.Thread:
        """Run ``work`` in a thread of its own, which may end by itself.

        Args:
            name: of the thread, in log, board and metrics.
            work: returns soon after ``stopping`` has become true, unless it is ``owned``.
            niceness: of the thread; higher runs behind others.
            again: begin ``work`` again where a program error has ended it, instead of ending the process.
            owned: the caller ends the thread and waits for it; `stop` does not.
        """
        thread = threading.Thread(
            target=self._run, args=(name, work, niceness, again), name=name, daemon=True
        )
        if not owned:
            self._threads.append(thread)
        thread.start()
        return thread

    def end(self) -> None:
        """Let all threads end, and the process after them; may be called by one of them."""
        self._stop.set()

    def hear_others(self) -> None:
        """Report program errors also of threads that libraries and drivers have started; those end nothing else."""
        threading.excepthook = lambda ended: self._note(
            ended.thread.name if ended.thread is not None else "unknown", ended.exc_value or SystemExit()
        )

    def stop(self, timeout_s: float) -> tuple[str, ...]:
        """End all threads but those with owners; returns the names of those that still run after ``timeout_s``."""
        self.end()
        until_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return tuple(thread.name for thread in self._threads if thread.is_alive())

    def raise_failure(self) -> None:
        """Raise what has ended a thread that is not begun again, if anything has.

        A fault that a thread lets out is an error in the program too: it must not pass for a fault of the
        configuration, after which the process is not started again. A CameraFault is raised as it is.
        """
        if not self._fatal:
            return
        error = self._fatal[0]
        if isinstance(error, Fault) and not isinstance(error, CameraFault):
            raise RuntimeError(f"a thread was ended by: {error}") from error
        raise error

    def _run(self, name: str, work: Callable[[], None], niceness: int, again: bool) -> None:
        if niceness:
            step_back(niceness)
        pause_s, longest_s = self._pauses_s
        while True:
            begun_s = time.monotonic()
            try:
                work()
                return
            except BaseException as error:
                # The one place that catches everything.
                self._note(name, error)
                if not again or not isinstance(error, Exception):
                    self._fatal.append(error)
                    self._stop.set()
                    return
            if time.monotonic() - begun_s > longest_s:
                pause_s = self._pauses_s[0]
            if self._stop.wait(pause_s):
                return
            pause_s = min(2 * pause_s, longest_s)

    def _note(self, name: str, error: BaseException) -> None:
        self._counts[name] += 1
        self._latest[name] = (time.monotonic(), f"{type(error).__name__}: {error}")
        fields = {"thread": name, "failures": self._counts[name]}
        log.error(
            "thread %s was ended by a mistake in the program", name, exc_info=error, extra={"fields": fields}
        )


def step_back(niceness: int = BACKGROUND) -> None:
    """Let this thread, and those that it starts later, run behind others; Linux gives each a niceness of its own."""
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


_M_ARENA_MAX, _M_MMAP_THRESHOLD, _M_TRIM_THRESHOLD = -8, -3, -1
"""See mallopt(3)."""
_ARENAS, _LARGE_BYTES = 2, 4 << 20


def share_arenas() -> None:
    """Let all threads share two heaps, and give large blocks back when they are freed; call it before threads start.

    glibc gives each of many threads a heap of its own and gives none of them back: encoders that come and go with
    every clip would leave more and more half-empty ones. It also learns to keep ever larger blocks in them, as those
    of an engine that rests. Elsewhere than on glibc it does nothing.

    With a threshold of one's own glibc no longer raises that of trimming either: it would give every block above
    128 KiB at a heap's end back as soon as it is freed, and fetch and clear its pages anew for the next frame.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, _ARENAS)
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _LARGE_BYTES)
    gc.freeze()  # what was imported stays: to look through it at every collection takes a frame's time


def release_freed_memory() -> None:
    """Give back to the system what the heaps hold of freed memory; some ms, so call it once in a while.

    Objects that hold each other are freed first: after a clip they are 30 MB of frames and codecs.
    Below a block that is still used glibc keeps all that was freed: after a camera was opened and a clip written that
    is a fifth of the service's memory. Elsewhere than on glibc it does nothing.
    """
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def load_scipy_alone() -> None:
    """Load SciPy without rooms that nobody here enters; call it before anything imports SciPy.

    SciPy copies all names of NumPy (`scipy._lib.array_api_compat`), and to fetch some is to load them: the front end
    for Fortran, the tools for tests and masked arrays, 8 MB. Its own rotations, with the constants of nature, take 2.
    All can be imported after it as ever.
    """
    names = vars(importlib.import_module("numpy"))
    absent = {"f2py", "testing", "polynomial", "ctypeslib", "ma"} - names.keys()
    names.update(dict.fromkeys(absent))
    importlib.import_module("scipy.fft")
    for name in absent:
        if names[name] is None:
            del names[name]
    rotations = "scipy.spatial.transform"
    if rotations not in sys.modules:
        sys.modules[rotations] = ModuleType(rotations)
        vars(importlib.import_module("scipy.spatial")).pop("transform", None)
        del sys.modules[rotations]
