"""Watches the free space and gives things up in a stated order: previews, clips, series, and never the alarms."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from runtime.errors import OptionFault
from runtime.store.records import Notice

Thing = Literal["previews", "clips", "series"]
ORDER: tuple[Thing, ...] = ("previews", "clips", "series")
"""What is given up, first to last."""


@dataclass(frozen=True)
class DiskLevels:
    """Below how much free space each thing is given up."""

    previews_bytes: int = 2 * 10**9
    clips_bytes: int = 10**9
    series_bytes: int = 250 * 10**6
    margin: float = 1.25
    """It begins again when so many times that much is free."""

    def check(self) -> None:
        """Check that the numbers can be followed.

        Raises:
            OptionFault: levels out of order, or no margin.
        """
        if not self.previews_bytes > self.clips_bytes > self.series_bytes > 0:
            raise OptionFault(
                f"disk guard: levels of {self.previews_bytes}, {self.clips_bytes} and {self.series_bytes} bytes "
                "are out of order",
                remedy="give previews more than clips, clips more than series, and series more than 0",
            )
        if not 1 < self.margin < math.inf:
            raise OptionFault(
                f"disk guard: a margin of {self.margin:g} would let it flutter",
                remedy="give more than 1, e.g. 1.25",
            )

    def of(self, thing: Thing) -> int:
        """The level of one thing in bytes."""
        return {"previews": self.previews_bytes, "clips": self.clips_bytes, "series": self.series_bytes}[
            thing
        ]


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
        self, directory: Path, levels: DiskLevels, measure: Callable[[Path], int] = free_bytes
    ) -> None:
        """Watch the disk of a directory.

        Raises:
            OptionFault: levels that cannot be followed.
        """
        levels.check()
        self._directory, self._levels, self._measure = directory, levels, measure
        self.state = DiskState(None, (), "")

    @property
    def wanted_bytes(self) -> int:
        """How much retention should free so that nothing need be given up; 0 while there is enough."""
        free = self.state.free_bytes
        wanted = self._levels.previews_bytes
        if free is None or free >= wanted:
            return 0
        return math.ceil(wanted * self._levels.margin) - free

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
            f"{thing} given up: {_size(free)} free, less than {_size(self._levels.of(thing))}"
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
        return self._levels.of(thing) * (1.0 if before.allows(thing) else self._levels.margin)


def _size(nbytes: int) -> str:
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if nbytes >= factor:
            return f"{nbytes / factor:.3g} {unit}"
    return f"{nbytes} bytes"
