"""What libraries print in this process: heard line by line, and passed on unchanged to where it would have gone."""

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
"""Of the pipe: a library that prints while it keeps Python from running must not have to wait for us."""
_LINE_BUFFERED = 1
_PATIENCE_S = 0.5
_F_SETPIPE_SZ = 1031  # fcntl.F_SETPIPE_SZ is not in Python 3.10 on every platform


class OutputTap:
    """Sits in one of this process's standard streams, below Python: it hears what ``printf`` of any library says.

    Whatever comes is passed on as it is, at once. Who replaces the stream ends the tap; `listen` begins it anew.
    """

    def __init__(self, descriptor: Literal[1, 2], *, most_lines: int = 512) -> None:
        """Prepare for stdout (1) or stderr (2), to remember so many lines; nothing is heard before `listen`."""
        self._descriptor = descriptor
        self._lines: deque[str] = deque(maxlen=most_lines)
        self._heard = 0
        self._rest = b""
        self._lock, self._switching = threading.Lock(), threading.RLock()
        self._pipe: tuple[int, int] | None = None
        """Our end to read from, and where things would have gone."""
        self._inode = 0
        self._thread: threading.Thread | None = None

    def listen(self) -> None:
        """Begin, unless it has begun already; any thread may ask for it."""
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
        elif _speaks_last_words():
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
        """Whether the stream still leads here."""
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
            if self._descriptor == 2 and _speaks_last_words():
                faulthandler.enable(file=2, all_threads=True)
        self._thread.join(_PATIENCE_S)
        self._thread = None

    def mark(self) -> int:
        """How many lines were heard so far, those included that are on their way."""
        self._catch_up()
        return self._heard

    def since(self, mark: int) -> tuple[str, ...]:
        """The lines since a `mark`, the oldest first, as far as they are remembered."""
        self._catch_up()
        with self._lock:
            new = min(self._heard - mark, len(self._lines))
            return tuple(self._lines)[len(self._lines) - new :] if new > 0 else ()

    def _catch_up(self) -> None:
        until_s = time.monotonic() + _PATIENCE_S
        while (pipe := self._pipe) is not None and self.is_listening and time.monotonic() < until_s:
            with self._lock, contextlib.suppress(OSError):  # who replaces the stream closes the pipe
                if not struct.unpack("i", fcntl.ioctl(pipe[0], termios.FIONREAD, b"\0" * 4))[0]:
                    return
            time.sleep(0.002)

    def _run(self, reader: int, passed_on: int) -> None:
        """Hear and pass on, until nobody can write into the pipe any more."""
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
                    self._heard += len(lines)
                _write(passed_on, chunk)
        finally:
            os.close(reader)
            os.close(passed_on)


def _write(descriptor: int, content: bytes) -> None:
    # Where the stream leads is gone, or full: a library that prints must not be held up for that.
    with contextlib.suppress(OSError):
        while content:
            content = content[os.write(descriptor, content) :]


def _speaks_last_words() -> bool:
    """Whether Python was told to print stacks to stderr if it dies (``-X faulthandler``): not into a pipe, then."""
    return "faulthandler" in sys._xoptions


def _buffer_lines() -> None:
    """Have C's stdout, which holds back some kilobytes where it leads into a pipe, give each line out at once."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        library = ctypes.CDLL(None)
        stdout = ctypes.c_void_p.in_dll(library, "stdout")
        library.setvbuf(stdout, None, _LINE_BUFFERED, ctypes.c_size_t(0))
