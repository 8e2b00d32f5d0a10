"""What a probe has found: one line for a person, with the command that mends it where something is amiss."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["ok", "missing", "wrong", "not needed"]


@dataclass(frozen=True)
class Finding:
    """How one thing stands."""

    name: str
    """What was looked at, e.g. ``TensorRT``."""
    state: State
    found: str
    """What is there, e.g. ``10.3.0``, or what is not."""
    means: str = ""
    """What follows from it, for somebody who wants to know whether it matters; empty where that is plain."""
    command: str = ""
    """What to type to mend it; empty where nothing is to be done."""
    needed: bool = False
    """Whether the device cannot do its work while this is missing or wrong."""

    @property
    def is_amiss(self) -> bool:
        """Whether something is to be mended."""
        return self.state in ("missing", "wrong")

    @property
    def prevents(self) -> bool:
        """Whether the device cannot run because of it."""
        return self.is_amiss and self.needed

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def ok(name: str, found: str, means: str = "", command: str = "") -> Finding:
    """All is well; ``command`` may still name a choice."""
    return Finding(name, "ok", found, means, command)


def missing(name: str, found: str, means: str, command: str, *, needed: bool) -> Finding:
    """It is not there."""
    return Finding(name, "missing", found, means, command, needed)


def wrong(name: str, found: str, means: str, command: str, *, needed: bool = False) -> Finding:
    """It is there, and not as it should be."""
    return Finding(name, "wrong", found, means, command, needed)


def not_needed(name: str, found: str, means: str = "") -> Finding:
    """It would be of no use here."""
    return Finding(name, "not needed", found, means)
