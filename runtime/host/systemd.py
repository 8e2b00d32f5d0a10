"""Status reports to systemd by the sd_notify protocol; without systemd nothing is sent."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Mapping

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
        """Feed the watchdog once; to be called for processed frames alone: see ``FrameWatchdog``."""
        self._send("WATCHDOG=1", wait=False)

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
    """Feeds systemd's watchdog from frame progress alone: a living process with a frozen camera starves it.

    Call ``progress`` after every processed frame, or now and then with the count of frames. It feeds the watchdog four
    times at most in the time that systemd allows.
    """

    def __init__(self, notifier: Notifier) -> None:
        self._notifier = notifier
        self._pause_s = (notifier.watchdog_s or 0.0) / 4
        self._frames = 0
        self._fed_s: float | None = None

    def progress(self, frames: int, now_s: float) -> bool:
        """Take the number of frames processed so far; returns whether the watchdog was fed for it.

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
