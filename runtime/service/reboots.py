"""Memory of the recovery ladder across processes and restarts of the device, in one small file.

A device in the field often has no clock that survives a power cut, so nothing here is counted in calendar days:
the file adds up the time for which the device has been running, as its monotonic clock tells it. That sum never
goes faster than true time, so the daily bound holds whatever happens to the wall clock.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tremorscope.files import reason_of
from tremorscope.runtime.errors import OutputFault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.host.settings import RebootSettings

_DAY_S = 86_400.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


_FILE_VARIABLE = "TREMORSCOPE_RECOVERY_FILE"


def memory_file(state_directory: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """File of the memory: as the unit states for all instances, else in this instance's state directory."""
    stated = environment.get(_FILE_VARIABLE)
    return Path(stated) if stated else state_directory / "recovery.json"


class _RebootRecord(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    boot: str = ""
    """Identity of the system's start in which this was written."""
    uptime_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Seconds from that start to the writing."""
    running_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """For how long the device had run in all by then, as far as is known."""
    failed_starts: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    """By instance: processes in a row that ended because no good frames came."""
    reboots_s: tuple[float, ...] = ()
    """``running_s`` at each restart of the device by the service, over the latest day."""


class RebootMemory:
    """The ladder's memory on disk: written beside its place and renamed, and flushed before a restart.

    Several instances on one device share a file, and with it the bound; each has failed starts of its own.
    """

    def __init__(
        self,
        path: Path,
        settings: RebootSettings,
        *,
        instance: str = "",
        uptime_s: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
        boot_id: Callable[[], str] = lambda: _BOOT_ID.read_text(encoding="ascii").strip(),
    ) -> None:
        """Read the file, if there is one. A damaged one counts as if the day's restarts were used up.

        Args:
            path: of the file, in a state directory that all instances share.
            settings: how often the device may be restarted.
            instance: name of this service among several on the device.
            uptime_s: seconds since the system was started, time asleep included.
            boot_id: the identity of that start.
        """
        self._path, self._settings, self._instance = path, settings, instance
        self._uptime_s, self._boot = uptime_s, boot_id()
        self.trouble = ""
        """Reason why the file could not be read or written; empty if all is well."""
        self._record = self._load()

    @property
    def failed_starts(self) -> int:
        """Processes in a row that ended because no good frames came."""
        return self._record.failed_starts.get(self._instance, 0)

    def note_exit(self) -> int:
        """Count a start without good frames; returns how many there were in a row."""
        self._write(lambda _: {}, self.failed_starts + 1)
        return self.failed_starts

    def note_health(self) -> None:
        """Note that frames come steadily again."""
        self._write(lambda _: {}, 0)

    def refusal(self) -> str:
        """Reason not to restart the device now; empty if it may be."""
        recent_s = self.recent_s()
        most, uptime_s = self._settings.most_a_day, self._uptime_s()
        if uptime_s < self._settings.least_uptime_s:
            return f"it was started only {uptime_s:.0f} s ago"
        if len(recent_s) >= most:
            return f"it was restarted {most} times within a day of running already"
        return self.trouble

    def recent_s(self) -> tuple[float, ...]:
        """Restarts of the device within a day of running, in seconds of its running time."""
        self._record = self._load()
        return _recent(self._record, self._running_s(self._record))

    def note_reboot(self) -> str:
        """Note that the device is about to be restarted; returns the reason if that could not be written, else ""."""

        def add(record: _RebootRecord) -> dict[str, object]:
            now_s = self._running_s(record)
            return {"reboots_s": (*_recent(record, now_s), now_s)}

        self._write(add, 0)
        return self.trouble

    def _running_s(self, record: _RebootRecord) -> float:
        uptime_s = self._uptime_s()
        since_s = uptime_s - record.uptime_s if record.boot == self._boot else uptime_s
        return record.running_s + max(0.0, since_s)

    def _load(self) -> _RebootRecord:
        try:
            return _RebootRecord.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return _RebootRecord(boot=self._boot, uptime_s=self._uptime_s())
        except (OSError, ValidationError) as error:
            reason = reason_of(error) if isinstance(error, OSError) else "damaged"
            self.trouble = f"{self._path} cannot be read ({reason})"
        used_up = (0.0,) * self._settings.most_a_day
        return _RebootRecord(boot=self._boot, uptime_s=self._uptime_s(), reboots_s=used_up)

    def _write(self, change: Callable[[_RebootRecord], dict[str, object]], failed_starts: int) -> None:
        """Change file and memory; a change that cannot be written still counts in this process."""
        try:
            with _locked(self._path.parent):
                self._record = self._changed(self._load(), change, failed_starts)
                with whole_file(self._path, flush_name=True) as file:
                    file.write(self._record.model_dump_json().encode())
        except (OutputFault, OSError) as error:
            self._record = self._changed(self._record, change, failed_starts)
            self.trouble = f"{self._path} cannot be written ({error})"
        else:
            self.trouble = ""

    def _changed(
        self, record: _RebootRecord, change: Callable[[_RebootRecord], dict[str, object]], failed_starts: int
    ) -> _RebootRecord:
        latest: dict[str, object] = {
            "boot": self._boot,
            "uptime_s": self._uptime_s(),
            "running_s": self._running_s(record),
            "failed_starts": record.failed_starts | {self._instance: failed_starts},
        }
        return record.model_copy(update=latest | change(record))


def _recent(record: _RebootRecord, now_s: float) -> tuple[float, ...]:
    return tuple(moment_s for moment_s in record.reboots_s if moment_s > now_s - _DAY_S)


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Keep other instances from changing the file meanwhile."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
