"""Privileged requests of the service: restart nvargus-daemon, and restart the device.

The service runs as a user without rights. First systemd is asked; a polkit rule allows it (see systemd/). Where
polkit is too old to read that rule (before 0.106, as in Ubuntu 22.04 and so JetPack 6), a file is left in a directory
that a unit of root's watches; its mere existence is the request, and nothing in it is read.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path
from typing import Literal

Request = Literal["restart-argus", "reboot"]

REQUESTS = Path("/run/tremorscope-requests")
"""Watched by tremorscope-restart-argus.path and tremorscope-reboot.path."""

_COMMANDS: dict[Request, tuple[str, ...]] = {
    "restart-argus": ("systemctl", "--no-ask-password", "--quiet", "restart", "nvargus-daemon.service"),
    "reboot": ("systemctl", "--no-ask-password", "--quiet", "reboot"),
}
_LOOK_S = 0.2


def ask(request: Request, *, timeout_s: float = 15.0, requests: Path = REQUESTS) -> str:
    """Make a request of the system, in twice ``timeout_s`` at most; returns the reason of a failure, or ""."""
    refusal = _ask_systemd(request, timeout_s)
    if not refusal:
        return ""
    if not requests.is_dir():
        return f"{refusal}; {requests} does not exist either (install.sh sets up both)"
    left = _leave_file(requests / request, timeout_s)
    return f"{refusal}; {left}" if left else ""


def _ask_systemd(request: Request, timeout_s: float) -> str:
    command = _COMMANDS[request]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False, stdin=subprocess.DEVNULL
        )
    except FileNotFoundError:
        return "there is no systemctl"
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"systemctl failed ({error})"
    if done.returncode == 0:
        return ""
    lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
    return f"systemd refused: {lines[0]}"


def _leave_file(path: Path, timeout_s: float) -> str:
    """Ask by a file and wait until it is removed, which happens after the request was carried out."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        return f"{path} cannot be written ({(error.strerror or str(error)).lower()})"
    until_s = time.monotonic() + timeout_s
    while path.exists():
        if time.monotonic() > until_s:
            with contextlib.suppress(OSError):  # a request must not be carried out much later
                path.unlink(missing_ok=True)
            return f"{path} was not answered within {timeout_s:.0f} s"
        time.sleep(_LOOK_S)
    return ""
