"""Guard of the free disk space: gives up previews, then clips, then series, and never the alarms."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tremorscope.runtime.store.records import Notice
from tremorscope.runtime.store.settings import DataKind, DiskSettings

ORDER: tuple[DataKind, ...] = get_args(DataKind)


@dataclass(frozen=True)
class DiskState:
    """Free space, and the things given up for lack of it."""

    free_bytes: int | None
    """None while it cannot be measured."""
    given_up: tuple[DataKind, ...]
    trouble: str
    """Fault for which the disk cannot be measured; empty if there is none."""

    def allows(self, thing: DataKind) -> bool:
        """True if there is room for a thing."""
        return thing not in self.given_up


def free_bytes(directory: Path) -> int:
    """Bytes that this process may still write on the disk of a directory; 0 if it is mounted read-only.

    Raises:
        OSError: it cannot be measured.
    """
    disk = os.statvfs(directory)
    return 0 if disk.f_flag & os.ST_RDONLY else disk.f_bavail * disk.f_frsize


class DiskGuard:
    """Decides by the free space of one disk which things are written; call ``check`` once a second.

    Both giving up and resuming a thing return notices. The writers of previews, clips and series read ``state``.
    """

    def __init__(
        self, directory: Path, settings: DiskSettings, measure: Callable[[Path], int] = free_bytes
    ) -> None:
        """Guard the disk of a directory."""
        self._directory, self._settings, self._measure = directory, settings, measure
        self.state = DiskState(None, (), "")

    @property
    def wanted_bytes(self) -> int:
        """Bytes that retention should free so that nothing need be given up; 0 while there is enough."""
        free = self.state.free_bytes
        wanted = self._settings.level_bytes("previews")
        if free is None or free >= wanted:
            return 0
        return math.ceil(wanted * self._settings.margin) - free

    def check(self, now_s: float) -> list[Notice]:
        """Measure, decide, and return the changes as notices; ``now_s`` is Unix time."""
        before = self.state
        try:
            free = self._measure(self._directory)
        except OSError as error:
            trouble = f"{self._directory}: its free space cannot be measured ({error.strerror or error})"
            self.state = DiskState(None, before.given_up, trouble)
            return [Notice(now_s, "disk", trouble)] if not before.trouble else []
        given_up = tuple(thing for thing in ORDER if free < self._limit(thing, before))
        self.state = DiskState(free, given_up, "")
        texts = [f"{self._directory}: its free space can be measured again"] if before.trouble else []
        texts += [
            f"{thing} given up: {_size(free)} free, less than {_size(self._settings.level_bytes(thing))}"
            for thing in ORDER
            if before.allows(thing) and not self.state.allows(thing)
        ]
        texts += [
            f"{thing} begun again: {_size(free)} free"
            for thing in reversed(ORDER)
            if not before.allows(thing) and self.state.allows(thing)
        ]
        return [Notice(now_s, "disk", text) for text in texts]

    def _limit(self, thing: DataKind, before: DiskState) -> float:
        return self._settings.level_bytes(thing) * (1.0 if before.allows(thing) else self._settings.margin)


def _size(nbytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes} bytes"
