"""What a step has found: facts, checks with what was wanted, and how it ended."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

State = Literal["holds", "fails", "skipped", "unfinished"]
Fact = str | float | int | bool | None
Row = list[Fact]


class Skip(Exception):
    """A step has nothing to look at here. ``reason`` says why, ``remedy`` what would let it run, if anything."""

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


@dataclass(frozen=True)
class Check:
    """One thing that must hold."""

    what: str
    found: str
    wanted: str
    holds: bool


@dataclass(frozen=True)
class Table:
    """Numbers side by side."""

    title: str
    columns: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Outcome:
    """How a step ended, and what it found until then."""

    state: State
    said: str
    """One line: what was found, why it was skipped, or what went wrong."""
    remedy: str = ""
    checks: tuple[Check, ...] = ()
    facts: dict[str, Fact] = field(default_factory=dict)
    """By name, with the unit in the name."""
    tables: tuple[Table, ...] = ()
    output: str = ""
    """The last lines that the step's process wrote, where it went wrong."""

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Outcome:
        """The outcome whose plain values these are."""
        checks = tuple(Check(**each) for each in plain["checks"])
        tables = tuple(Table(**each) for each in plain["tables"])
        return cls(**{**plain, "checks": checks, "tables": tables})


class Findings:
    """Collects what a step finds, and keeps it in a file as it comes: what was found outlives the step's process."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._checks: list[Check] = []
        self._facts: dict[str, Fact] = {}
        self._tables: list[Table] = []

    @property
    def facts(self) -> Mapping[str, Fact]:
        """What was noted so far."""
        return self._facts

    def fact(self, name: str, value: Fact) -> None:
        """Take note of a number or a word; the unit belongs into the name."""
        self._facts[name] = _plain(value)
        self._keep()

    def check(self, what: str, found: object, wanted: object, *, holds: bool) -> None:
        """Take note of what must hold, and whether it does."""
        self._checks.append(Check(what, str(found), str(wanted), bool(holds)))
        self._keep()

    def table(self, title: str, columns: list[str], rows: list[Row]) -> None:
        """Take note of numbers side by side."""
        self._tables.append(Table(title, columns, [[_plain(each) for each in row] for row in rows]))
        self._keep()

    def outcome(self, said: str) -> Outcome:
        """The end of the step: it holds where every check does."""
        failed = [each for each in self._checks if not each.holds]
        if not failed:
            return self._outcome("holds", said)
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return self._outcome("fails", f"{first.what}: {first.found}, not {first.wanted}{more}")

    def skipped(self, skip: Skip) -> Outcome:
        """Nothing to look at."""
        return self._outcome("skipped", skip.reason, skip.remedy)

    def failed(self, what: str, remedy: str = "") -> Outcome:
        """Something went wrong."""
        return self._outcome("fails", what, remedy)

    def _outcome(self, state: State, said: str, remedy: str = "") -> Outcome:
        return Outcome(state, said, remedy, tuple(self._checks), dict(self._facts), tuple(self._tables))

    def _keep(self) -> None:
        if self._file is not None:
            write_outcome(self._file, self._outcome("unfinished", "it did not come to its end"))


def _plain(value: Fact) -> Fact:
    """A value that JSON knows: not infinite, and with no more digits than mean something."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def write_outcome(file: Path, outcome: Outcome) -> None:
    """Keep an outcome, whole or as it was before; a disk that is full keeps the one before."""
    partial = file.with_suffix(".partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(outcome.as_json(), ensure_ascii=False), encoding="utf-8")
        partial.replace(file)


def read_outcome(file: Path) -> Outcome | None:
    """An outcome that was kept; None where there is none."""
    try:
        return Outcome.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
