"""Watches the free space and gives things up in a stated order: previews, clips, series, and never the alarms."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from tremorscope.runtime.store.records import Notice
from tremorscope.runtime.store.settings import DiskSettings, Thing

ORDER: tuple[Thing, ...] = get_args(Thing)


@dataclass(frozen=True)
class DiskState:
    """What the disk allows."""

    free_bytes: int | None
    """None while it cannot be measured."""
    given_up: tuple[Thing, ...]
    trouble: str
    """Why nothing can be written at all; empty if all is well."""

    def allows(self, thing: Thing) -> bool:
        """Whether there is room for a thing."""
        return thing not in self.given_up


def free_bytes(directory: Path) -> int:
    """Bytes that may still be written by us on the disk of a directory; 0 if it is mounted read-only.

    Raises:
        OSError: it cannot be measured.
    """
    disk = os.statvfs(directory)
    return 0 if disk.f_flag & os.ST_RDONLY else disk.f_bavail * disk.f_frsize


class DiskGuard:
    """Follows the free space of one disk; ``check`` takes a few microseconds and goes once a second.

    What is given up is told on both edges as notices. It decides and tells; whoever makes previews, clips and
    series asks ``state``.
    """

    def __init__(
        self, directory: Path, settings: DiskSettings, measure: Callable[[Path], int] = free_bytes
    ) -> None:
        """Watch the disk of a directory."""
        self._directory, self._settings, self._measure = directory, settings, measure
        self.state = DiskState(None, (), "")

    @property
    def wanted_bytes(self) -> int:
        """How much retention should free so that nothing need be given up; 0 while there is enough."""
        free = self.state.free_bytes
        wanted = self._settings.level_bytes("previews")
        if free is None or free >= wanted:
            return 0
        return math.ceil(wanted * self._settings.margin) - free

    def check(self, now_s: float) -> list[Notice]:
        """Measure, decide, and return what changed, for a person; ``now_s`` is Unix time."""
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

    def _limit(self, thing: Thing, before: DiskState) -> float:
        return self._settings.level_bytes(thing) * (1.0 if before.allows(thing) else self._settings.margin)


def _size(nbytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes} bytes"
