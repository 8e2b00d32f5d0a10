"""Outcome of a step: facts, checks against limits, tables, and the final state."""

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
    """A step cannot run here. ``reason`` is why; ``remedy`` lets it run, and is empty if nothing does."""

    def __init__(self, reason: str, *, remedy: str = "") -> None:
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


@dataclass(frozen=True)
class Check:
    """One requirement, with the value found."""

    what: str
    found: str
    wanted: str
    holds: bool


@dataclass(frozen=True)
class Table:
    """Table of numbers."""

    title: str
    columns: list[str]
    rows: list[Row]


@dataclass(frozen=True)
class Outcome:
    """Final state of a step, with its findings."""

    state: State
    said: str
    """One line: the result, the reason to skip, or the fault."""
    remedy: str = ""
    checks: tuple[Check, ...] = ()
    facts: dict[str, Fact] = field(default_factory=dict)
    """Values by name, with the unit in the name."""
    tables: tuple[Table, ...] = ()
    output: str = ""
    """Last lines of output of the step's process, if it failed."""

    def as_json(self) -> dict[str, Any]:
        """The outcome as values of JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Outcome:
        """The outcome from values of JSON."""
        checks = tuple(Check(**each) for each in plain["checks"])
        tables = tuple(Table(**each) for each in plain["tables"])
        return cls(**{**plain, "checks": checks, "tables": tables})


class StepFindings:
    """Findings of a running step, written to a file as they come, so that they outlive the step's process."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._checks: list[Check] = []
        self._facts: dict[str, Fact] = {}
        self._tables: list[Table] = []

    @property
    def facts(self) -> Mapping[str, Fact]:
        """Facts so far."""
        return self._facts

    def fact(self, name: str, value: Fact) -> None:
        """Add a number or a word; the unit belongs into the name."""
        self._facts[name] = _plain(value)
        self._keep()

    def check(self, what: str, found: object, wanted: object, *, holds: bool) -> None:
        """Add a requirement, with the value found and the value wanted."""
        self._checks.append(Check(what, str(found), str(wanted), bool(holds)))
        self._keep()

    def table(self, title: str, columns: list[str], rows: list[Row]) -> None:
        """Add a table of numbers."""
        self._tables.append(Table(title, columns, [[_plain(each) for each in row] for row in rows]))
        self._keep()

    def outcome(self, said: str) -> Outcome:
        """Outcome of a completed step, which holds if every check does."""
        failed = [each for each in self._checks if not each.holds]
        if not failed:
            return self._outcome("holds", said)
        first = failed[0]
        more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        return self._outcome("fails", f"{first.what}: {first.found}, not {first.wanted}{more}")

    def skipped(self, skip: Skip) -> Outcome:
        """Outcome of a step that cannot run here."""
        return self._outcome("skipped", skip.reason, skip.remedy)

    def failed(self, what: str, remedy: str = "") -> Outcome:
        """Outcome of a step that failed."""
        return self._outcome("fails", what, remedy)

    def _outcome(self, state: State, said: str, remedy: str = "") -> Outcome:
        return Outcome(state, said, remedy, tuple(self._checks), dict(self._facts), tuple(self._tables))

    def _keep(self) -> None:
        if self._file is not None:
            write_outcome(self._file, self._outcome("unfinished", "it did not come to its end"))


def _plain(value: Fact) -> Fact:
    """A value for JSON: None if it is not finite, and rounded to six digits after the point."""
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    return value


def write_outcome(file: Path, outcome: Outcome) -> None:
    """Write an outcome, atomically; on a full disk the former one stays."""
    partial = file.with_suffix(".partial")
    with contextlib.suppress(OSError):
        partial.write_text(json.dumps(outcome.as_json(), ensure_ascii=False), encoding="utf-8")
        partial.replace(file)


def read_outcome(file: Path) -> Outcome | None:
    """Read an outcome; None if there is none, or it is damaged."""
    try:
        return Outcome.from_json(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError):
        return None
