"""Logs for the journal: every record with its fields, so that months later they can be searched by them.

Under systemd records go to the journal's own socket with structured fields (systemd's "Native Journal Protocol");
elsewhere to stderr, as lines of text. Nothing of the kind needs a library.

    logging.getLogger("tremorscope.camera").warning("frozen", extra={"fields": {"fault": "frozen"}})
    journalctl -u tremorscope TREMORSCOPE_FAULT=frozen
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
