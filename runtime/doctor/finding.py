"""Findings of probes: one readable line, with the command that mends a fault."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "missing", "wrong", "not needed"]


@dataclass(frozen=True)
class ProbeFinding:
    """State of one part of the machine."""

    name: str
    """Part that was probed, e.g. ``TensorRT``."""
    state: State
    found: str
    """Observation, e.g. ``10.3.0`` or ``not installed``."""
    means: str = ""
    """Consequence for the user; empty if it is obvious."""
    command: str = ""
    """Shell command that mends it; empty if there is nothing to do."""
    needed: bool = False
    """True if the device cannot do its work while this is missing or wrong."""

    @property
    def is_amiss(self) -> bool:
        """True if there is a fault to mend."""
        return self.state in ("missing", "wrong")

    @property
    def prevents(self) -> bool:
        """True if the device cannot run because of it."""
        return self.is_amiss and self.needed

    def as_json(self) -> dict[str, Any]:
        """The finding as values of JSON."""
        return asdict(self)


def ok(name: str, found: str, means: str = "", command: str = "") -> ProbeFinding:
    """ProbeFinding of a sound part; ``command`` may still offer an alternative."""
    return ProbeFinding(name, "ok", found, means, command)


def missing(name: str, found: str, means: str, command: str, *, needed: bool) -> ProbeFinding:
    """ProbeFinding of a part that is missing."""
    return ProbeFinding(name, "missing", found, means, command, needed)


def wrong(name: str, found: str, means: str, command: str, *, needed: bool = False) -> ProbeFinding:
    """ProbeFinding of a part that is there, but not as it should be."""
    return ProbeFinding(name, "wrong", found, means, command, needed)


def not_needed(name: str, found: str, means: str = "") -> ProbeFinding:
    """ProbeFinding of a part that this machine does not need."""
    return ProbeFinding(name, "not needed", found, means)
