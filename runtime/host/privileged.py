"""Privileged requests: restart the device, unless an upgrade is running, and restart nvargus-daemon, which all
instances of the service on a device share.

The service runs as a user without rights. First systemd is asked; a polkit rule allows it (see systemd/). Where
polkit is too old to read that rule (before 0.106, as in Ubuntu 22.04 and so JetPack 6), a file is left in a directory
that a unit of root's watches; its mere existence is the request, and nothing in it is read.

NVIDIA's camera source keeps one connection to the daemon a process, made when its plugin is loaded and never again: a
process that lives through a restart of the daemon gives no frames until it ends. So whoever has the daemon restarted
ends as soon as that is answered, and every other process that began before the restart ends too, instead of having the
daemon restarted once more for its own sake. A lock and one small file in /run keep this between the instances; a
daemon that systemd or a person restarted is known by its socket, which is another one then.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.files import reason_of
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.host.settings import RecoverySettings

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
        return f"{path} cannot be written ({reason_of(error)})"
    until_s = time.monotonic() + timeout_s
    while path.exists():
        if time.monotonic() > until_s:
            with contextlib.suppress(OSError):  # a request must not be carried out much later
                path.unlink(missing_ok=True)
            return f"{path} was not answered within {timeout_s:.0f} s"
        time.sleep(_LOOK_S)
    return ""


LOCK = Path("/run/lock/tremorscope.lock")
"""Held by install.sh and upgrade.sh while they run; the kernel lets go of it however they end."""


def is_updating(lock: Path = LOCK) -> bool:
    """Return True while the lock is held."""
    try:
        descriptor = os.open(lock, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:  # nothing was installed since the device was started
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


SOCKET = Path("/tmp/argus_socket")
_LONGEST_PAUSE_S = 3600.0
_DAEMON_LOOK_S = 0.1


class _RestartRecord(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    restarted_s: float | None = Field(default=None, allow_inf_nan=False)
    """Uptime of the device at the latest restart of the daemon that we had made."""
    asked_s: float | None = Field(default=None, allow_inf_nan=False)
    """The same of the latest attempt, whatever came of it."""
    in_vain: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """By instance: restarts in a row after which no frames came."""


class ArgusDaemon:
    """Restarts of nvargus-daemon, for one instance of the service; made before its camera is first opened."""

    def __init__(
        self,
        settings: RecoverySettings,
        *,
        instance: str = "",
        directory: Path = REQUESTS,
        socket: Path = SOCKET,
        uptime_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Remember when this process began, and which daemon there was.

        Args:
            settings: how often the daemon may be restarted.
            instance: name of this service among several on the device.
            directory: where lock and record lie, the same for all; emptied by a restart of the device.
            socket: by which the daemon is reached.
            uptime_s: seconds since the device was started, time asleep included.
        """
        self._settings, self._instance = settings, instance
        self._file, self._lock, self._socket = directory / "argus.json", directory / "argus.lock", socket
        self._uptime_s, self._began_s = uptime_s, uptime_s()
        self._first_seen = _identity(socket)

    def is_blind(self) -> bool:
        """Return True if the daemon was restarted since this process began, so that its cameras give no frames."""
        present = _identity(self._socket)
        if present is not None and present != self._first_seen:
            return True
        return self._is_older_than(self._load())

    def refusal(self) -> str:
        """Reason not to restart the daemon now, empty if it may be: the pause doubles after restarts without frames."""
        record, settings = self._load(), self._settings
        in_vain = record.in_vain.get(self._instance, 0)
        if not settings.restart_argus_attempts:
            return "restart_argus_attempts is 0"
        if record.asked_s is None or not in_vain:
            return ""
        doublings = min(20, max(0, in_vain - settings.restart_argus_attempts))
        pause_s = min(_LONGEST_PAUSE_S, settings.restart_argus_dwell_s * 2**doublings)
        ago_s = self._uptime_s() - record.asked_s
        if ago_s >= pause_s:
            return ""
        return (
            f"a restart of nvargus-daemon was asked for {ago_s:.0f} s ago, {in_vain} times in a row "
            f"without frames after it; the next time after {pause_s:.0f} s"
        )

    def restart(
        self, request: Callable[[], str] = lambda: ask("restart-argus"), *, patience_s: float = 40.0
    ) -> str:
        """Have the daemon restarted, unless another instance has just done so; returns the outcome as a sentence.

        Args:
            request: asks for the restart, and returns the reason of a failure, empty if there is none.
            patience_s: longest wait for another instance that is restarting it.
        """
        with self._locked(patience_s) as is_ours:
            before = self._load()
            if not is_ours or self._is_older_than(before):
                return "nvargus-daemon was restarted by another instance meanwhile"
            in_vain = before.in_vain | {self._instance: before.in_vain.get(self._instance, 0) + 1}
            now_s = self._uptime_s()
            now = _RestartRecord(restarted_s=now_s, asked_s=now_s, in_vain=in_vain)
            self._store(
                now
            )  # before the request, so that no instance repeats it if this process is killed here
            why_not = request()
            if why_not:
                self._store(now.model_copy(update={"restarted_s": before.restarted_s}))
                return f"nvargus-daemon could not be restarted: {why_not}"
            self._store(now.model_copy(update={"restarted_s": self._uptime_s()}))
            return "nvargus-daemon was restarted"

    def note_health(self) -> None:
        """Note that frames come steadily again."""
        with self._locked(1.0) as is_ours:
            record = self._load()
            if is_ours and record.in_vain.get(self._instance):
                self._store(record.model_copy(update={"in_vain": record.in_vain | {self._instance: 0}}))

    def _is_older_than(self, record: _RestartRecord) -> bool:
        return record.restarted_s is not None and record.restarted_s > self._began_s

    def _load(self) -> _RestartRecord:
        try:
            return _RestartRecord.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):  # nothing was restarted yet, or the record is lost
            return _RestartRecord()

    def _store(self, record: _RestartRecord) -> None:
        # Without the directory, as where the service was started by hand, there are no other instances.
        with contextlib.suppress(OSError, OutputFault), whole_file(self._file) as file:
            file.write(record.model_dump_json().encode())

    @contextlib.contextmanager
    def _locked(self, patience_s: float) -> Iterator[bool]:
        """Hold the lock that all instances share; False where another held it all the time."""
        try:
            descriptor = os.open(self._lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            yield True
            return
        try:
            yield _lock(descriptor, patience_s)
        finally:
            os.close(descriptor)


def _lock(descriptor: int, patience_s: float) -> bool:
    until_s = time.monotonic() + patience_s
    while not _lock_at_once(descriptor):
        if time.monotonic() >= until_s:
            return False
        time.sleep(_DAEMON_LOOK_S)
    return True


def _lock_at_once(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _identity(socket: Path) -> tuple[int, int, int] | None:
    """Device, inode and change time (ns) of a socket; compared for equality alone, for clocks in the field may jump."""
    try:
        found = socket.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_ctime_ns
