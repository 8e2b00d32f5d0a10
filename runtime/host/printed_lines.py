"""Tap on this process's standard output: lines that libraries print are read, and passed on unchanged."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import faulthandler
import fcntl
import os
import select
import struct
import sys
import termios
import threading
import time
from collections import deque
from typing import Literal

_CHUNK_BYTES = 65_536
_PIPE_BYTES = 1 << 20
"""Capacity of the pipe: a library that prints while it keeps Python from running must not have to wait for us."""
_LINE_BUFFERED = 1
_TIMEOUT_S = 0.5
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ is not in Python 3.10 on every platform


class OutputTap:
    """Tap on one of this process's standard streams, below Python: it reads what ``printf`` of any library writes.

    Everything is passed on unchanged, at once. Replacing the stream ends the tap; `listen` begins it anew.
    """

    def __init__(self, descriptor: Literal[1, 2], *, most_lines: int = 512) -> None:
        """Prepare for stdout (1) or stderr (2), to remember so many lines; nothing is read before `listen`."""
        self._descriptor = descriptor
        self._lines: deque[str] = deque(maxlen=most_lines)
        self._count = 0
        self._rest = b""
        self._lock, self._switching = threading.Lock(), threading.RLock()
        self._pipe: tuple[int, int] | None = None
        """Reading end of the pipe, and the original stream."""
        self._inode = 0
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """Begin, unless it has begun already; callable from any thread."""
        with self._switching:
            if not self.is_listening:
                self.stop()
                self._begin()

    def _begin(self) -> None:
        passed_on = os.dup(self._descriptor)
        reader, writer = os.pipe()
        with contextlib.suppress(OSError):
            fcntl.fcntl(writer, _F_SETPIPE_SZ, _PIPE_BYTES)
        if self._descriptor == 1:
            _buffer_lines()
        elif _dumps_stacks():
            faulthandler.enable(file=passed_on, all_threads=True)
        os.dup2(writer, self._descriptor)
        os.close(writer)
        self._pipe, self._inode = (reader, passed_on), os.fstat(self._descriptor).st_ino
        self._thread = threading.Thread(
            target=self._run, args=(reader, passed_on), name="overhearing", daemon=True
        )
        self._thread.start()
        atexit.register(self.stop)

    @property
    def is_listening(self) -> bool:
        """True while the stream leads into this tap."""
        thread = self._thread
        if thread is None or not thread.is_alive():
            return False
        return os.fstat(self._descriptor).st_ino == self._inode

    def stop(self) -> None:
        """Give the stream back, once everything has been passed on; stopping twice is harmless."""
        with self._switching:
            self._end()

    def _end(self) -> None:
        atexit.unregister(self.stop)
        pipe, self._pipe = self._pipe, None
        if pipe is None or self._thread is None:
            return
        _, passed_on = pipe
        if self.is_listening:
            os.dup2(passed_on, self._descriptor)
            if self._descriptor == 2 and _dumps_stacks():
                faulthandler.enable(file=2, all_threads=True)
        self._thread.join(_TIMEOUT_S)
        self._thread = None

    def mark(self) -> int:
        """Number of lines so far, those included that are on their way."""
        self._catch_up()
        return self._count

    def since(self, mark: int) -> tuple[str, ...]:
        """The lines since a `mark`, the oldest first, as far as they are remembered."""
        self._catch_up()
        with self._lock:
            new = min(self._count - mark, len(self._lines))
            return tuple(self._lines)[len(self._lines) - new :] if new > 0 else ()

    def _catch_up(self) -> None:
        until_s = time.monotonic() + _TIMEOUT_S
        while (pipe := self._pipe) is not None and self.is_listening and time.monotonic() < until_s:
            with self._lock, contextlib.suppress(OSError):  # who replaces the stream closes the pipe
                if not struct.unpack("i", fcntl.ioctl(pipe[0], termios.FIONREAD, b"\0" * 4))[0]:
                    return
            time.sleep(0.002)

    def _run(self, reader: int, passed_on: int) -> None:
        """Read and pass on, until the writing end of the pipe is closed."""
        ready = select.poll()  # select takes no descriptor beyond 1023
        ready.register(reader, select.POLLIN)
        try:
            while True:
                ready.poll()
                with self._lock:
                    chunk = os.read(reader, _CHUNK_BYTES)
                    if not chunk:
                        return
                    *lines, self._rest = (self._rest + chunk)[-2 * _CHUNK_BYTES :].split(b"\n")
                    self._lines.extend(line.decode(errors="replace").strip() for line in lines)
                    self._count += len(lines)
                _write(passed_on, chunk)
        finally:
            os.close(reader)
            os.close(passed_on)


def _write(descriptor: int, content: bytes) -> None:
    # The stream's destination may be gone or full; that must not hold up a library that prints.
    with contextlib.suppress(OSError):
        while content:
            content = content[os.write(descriptor, content) :]


def _dumps_stacks() -> bool:
    """True where Python prints stacks to stderr when it dies (``-X faulthandler``): they must not go into a pipe."""
    return "faulthandler" in sys._xoptions


def _buffer_lines() -> None:
    """Have C's stdout, which holds back some kilobytes where it leads into a pipe, give each line out at once."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        library = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(library, "stdout")
        library.setvbuf(stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))
