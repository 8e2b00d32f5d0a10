"""systemd: status reports by the sd_notify protocol, and logs for the journal, every record with its fields, so that
months later they can be searched by them.

Under systemd records go to the journal's own socket with structured fields (systemd's "Native Journal Protocol");
elsewhere to stderr, as lines of text. Nothing of the kind needs a library.

    logging.getLogger("tremorscope.camera").warning("frozen", extra={"fields": {"fault": "frozen"}})
    journalctl -u tremorscope TREMORSCOPE_FAULT=frozen
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_SEND_TIMEOUT_S = 1.0
"""Longest wait for systemd to take a change of state; the watchdog and the status line never wait."""


class Notifier:
    """Sends state to the socket in ``$NOTIFY_SOCKET``; see sd_notify(3). Never raises for want of systemd.

    What cannot be sent is counted in ``lost``: a monitoring service does not stop for that.
    """

    def __init__(self, address: str | None, *, watchdog_s: float | None = None) -> None:
        """Prepare to send.

        Args:
            address: an absolute path, or ``@name`` in the abstract namespace; anything else sends nothing.
            watchdog_s: longest time between two calls of ``watchdog``; None where there is no watchdog.
        """
        self._address = _socket_address(address)
        self._socket: socket.socket | None = None
        if self._address is not None:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self.watchdog_s = watchdog_s if self._address is not None else None
        """Longest time between two calls of ``watchdog``; None where there is no watchdog."""
        self.lost = 0
        """Messages that could not be sent."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Notifier:
        """Notifier for ``$NOTIFY_SOCKET``, ``$WATCHDOG_USEC`` and ``$WATCHDOG_PID`` as systemd sets them."""
        variables = os.environ if environment is None else environment
        return cls(variables.get("NOTIFY_SOCKET"), watchdog_s=_watchdog_s(variables))

    @property
    def enabled(self) -> bool:
        """True where there is a socket to send to."""
        return self._socket is not None

    def ready(self, status: str = "") -> None:
        """Report that the service has started or reloaded. ``status`` is a line for ``systemctl status``."""
        self._send("READY=1", _status(status), wait=True)

    def status(self, text: str) -> None:
        """Set the line of ``systemctl status``."""
        self._send(_status(text), wait=False)

    def watchdog(self) -> None:
        """Feed the watchdog once; to be called for frames alone: see ``FrameWatchdog``."""
        self._send("WATCHDOG=1", wait=False)

    def still_starting(self, more_s: float, status: str = "") -> None:
        """Report that the start goes on: systemd then waits as long for ``ready``, or for the next such report."""
        self._send(f"EXTEND_TIMEOUT_USEC={more_s * 1e6:.0f}", _status(status), wait=False)

    def reloading(self, status: str = "") -> None:
        """Report that the configuration is being read again; ``ready`` ends it."""
        moment_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send("RELOADING=1", f"MONOTONIC_USEC={moment_us}", _status(status), wait=True)

    def stopping(self, status: str = "") -> None:
        """Report that the service is about to end."""
        self._send("STOPPING=1", _status(status), wait=True)

    def close(self) -> None:
        """Close the socket; later messages are dropped."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, *lines: str, wait: bool) -> None:
        if self._socket is None or self._address is None:
            return
        message = "\n".join(line for line in lines if line).encode()
        self._socket.settimeout(_SEND_TIMEOUT_S if wait else 0.0)
        try:
            self._socket.sendto(message, self._address)
        except OSError:  # full, or systemd is being replaced: a service goes on without it
            self.lost += 1


class FrameWatchdog:
    """Feeds systemd's watchdog from frame progress alone: a living process whose camera gives none starves it.

    Call ``progress`` after every frame, or now and then with the count of frames. It feeds the watchdog four
    times at most in the time that systemd allows.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._pause_s = (notifier.watchdog_s or 0.0) / 4
        self._frames = 0
        self._fed_s: float | None = None

    def progress(self, frames: int, now_s: float) -> bool:
        """Take the number of frames so far; returns whether the watchdog was fed for it.

        ``now_s`` is on any clock that never goes back.
        """
        before, self._frames = self._frames, max(frames, self._frames)
        if frames <= before or (self._fed_s is not None and now_s - self._fed_s < self._pause_s):
            return False
        self._fed_s = now_s
        if self._notifier.watchdog_s is not None:
            self._notifier.watchdog()
        return True


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}" if text else ""


def _socket_address(address: str | None) -> str | None:
    """Address as ``sendto`` takes it: an abstract one begins with a zero byte; None for any other form."""
    if address and address.startswith("@") and len(address) > 1:
        return "\0" + address[1:]
    return address if address and address.startswith("/") else None


def _watchdog_s(environment: Mapping[str, str]) -> float | None:
    """Watchdog interval in s; None where there is no watchdog, or it is meant for another process."""
    process = environment.get("WATCHDOG_PID")
    if process and process != str(os.getpid()):
        return None
    with contextlib.suppress(ValueError):
        interval_us = int(environment.get("WATCHDOG_USEC", ""))
        return interval_us / 1e6 if interval_us > 0 else None
    return None


JOURNAL = Path("/run/systemd/journal/socket")
_PRIORITIES = (
    (logging.CRITICAL, 2),
    (logging.ERROR, 3),
    (logging.WARNING, 4),
    (logging.INFO, 6),
    (logging.NOTSET, 7),
)
"""Lowest level of each syslog priority, and the priority."""
_NOT_IN_NAMES = re.compile(r"[^A-Z0-9_]")
_LONGEST_BYTES = 128 * 1024
"""Longest field in bytes; a socket takes about 200 kB at once."""


class JournalHandler(logging.Handler):
    """Sends records to the journal; never waits for it. What it does not take at once goes to stderr instead."""

    def __init__(self, identifier: str, path: Path = JOURNAL) -> None:
        """Prepare to send as ``identifier``, which ``journalctl -t`` finds."""
        super().__init__()
        self._identifier, self._path = identifier, str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)
        self.diverted = 0
        """Records that went to stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record."""
        try:
            message = self.format(record)
            payload = b"".join(_field(name, value) for name, value in self._fields(record, message))
        except (TypeError, ValueError):  # a message whose arguments do not fit: an error of its caller
            self.handleError(record)
            return
        try:
            self._socket.sendto(payload, self._path)
        except OSError:
            self.diverted += 1
            sys.stderr.write(f"<{_priority(record.levelno)}>{' '.join(message.split())}\n")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _fields(self, record: logging.LogRecord, message: str) -> list[tuple[str, object]]:
        fields: list[tuple[str, object]] = [
            ("MESSAGE", message),
            ("PRIORITY", _priority(record.levelno)),
            ("SYSLOG_IDENTIFIER", self._identifier),
            ("LOGGER", record.name),
            ("THREAD_NAME", record.threadName or ""),
            ("CODE_FILE", record.pathname),
            ("CODE_LINE", record.lineno),
            ("CODE_FUNC", record.funcName or ""),
        ]
        own = getattr(record, "fields", {})
        return fields + [(f"TREMORSCOPE_{name}", value) for name, value in dict(own).items()]


class LineFormatter(logging.Formatter):
    """One line a record, with its fields at the end: ``WARNING camera: frozen fault=frozen``."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        pairs = " ".join(f"{name}={_quoted(value)}" for name, value in fields.items())
        return f"{super().format(record)} {pairs}".rstrip()


def set_up(level: int | str = logging.INFO, *, identifier: str = "tremorscope") -> logging.Logger:
    """Send everything below the logger ``tremorscope`` to the journal if systemd reads our stderr, or to stderr.

    Calling it again replaces what was set up before. Returns that logger.
    """
    logger = logging.getLogger("tremorscope")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        handler.close()
    handler = JournalHandler(identifier) if stderr_is_journal() else logging.StreamHandler()
    if not isinstance(handler, JournalHandler):
        handler.setFormatter(LineFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False
    return logger


def stderr_is_journal(environment: Mapping[str, str] | None = None) -> bool:
    """Return True if stderr leads to the journal, by device and inode in ``$JOURNAL_STREAM`` (systemd.exec(5))."""
    stream = (os.environ if environment is None else environment).get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return stream == f"{status.st_dev}:{status.st_ino}"


def _priority(level: int) -> int:
    return next(priority for least, priority in _PRIORITIES if level >= least)


def _field(name: str, value: object) -> bytes:
    """One field as the journal reads it: a value of several lines has its length in front."""
    key = _NOT_IN_NAMES.sub("_", name.upper()).encode()[:64]
    data = str(value).encode("utf-8", "replace")[:_LONGEST_BYTES]
    if b"\n" not in data:
        return key + b"=" + data + b"\n"
    return key + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text
