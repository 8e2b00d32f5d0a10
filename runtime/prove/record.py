"""Report of a run, written as a whole after every step, so that an interrupted run leaves a valid one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.prove.catalogue import ProveStep
from tremorscope.runtime.prove.open_points import answer_points
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.page import page
from tremorscope.runtime.prove.redaction import redacted

JSON_NAME, PAGE_NAME = "prove.json", "prove.html"
_FORMAT_VERSION = 1
End = Literal["running", "complete", "interrupted"]
_NOT_RUN = Outcome("unfinished", "not run")


@dataclass
class ProveReport:
    """Report of a run, with the outcomes so far."""

    output: Path
    steps: list[ProveStep]
    version: str
    quick: bool
    secrets: frozenset[str] = frozenset()
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    begun: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))
    end: End = "running"
    on_a_jetson: bool = field(default_factory=lambda: is_jetson(Machine()))

    def add(self, step: ProveStep, outcome: Outcome, seconds: float) -> None:
        """Add the outcome of a step."""
        self.outcomes[step.name] = outcome
        self.seconds[step.name] = round(seconds, 2)

    @property
    def holds(self) -> bool:
        """True if the run is complete and every step holds or was skipped."""
        return self.end == "complete" and all(
            self.outcomes[step.name].state in ("holds", "skipped") for step in self.steps
        )

    def as_json(self) -> dict[str, Any]:
        """The report as values of JSON, without secrets."""
        states = [outcome.state for outcome in self.outcomes.values()]
        plain = {
            "format_version": _FORMAT_VERSION,
            "tremorscope": self.version,
            "begun": self.begun,
            "written": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "end": self.end,
            "quick": self.quick,
            "jetson": self.on_a_jetson,
            "holds": self.holds,
            "counts": {state: states.count(state) for state in ("holds", "fails", "skipped")},
            "steps": [
                {
                    "name": step.name,
                    "title": step.title,
                    "limit_s": step.limit_s,
                    "seconds": self.seconds.get(step.name),
                    **self.outcomes.get(step.name, _NOT_RUN).as_json(),
                }
                for step in self.steps
            ],
            "open_points": [
                {
                    "id": each.point.id,
                    "question": each.point.question,
                    "guide": each.point.guide,
                    "step": each.point.step or None,
                    "answer": each.answer,
                    "said": each.said,
                }
                for each in answer_points(self.outcomes, on_a_jetson=self.on_a_jetson)
            ],
        }
        clean: dict[str, Any] = redacted(plain, self.secrets)
        return clean

    def write(self) -> None:
        """Write both files, each atomically.

        Raises:
            OutputFault: one cannot be written.
        """
        plain = self.as_json()
        with whole_file(self.output / JSON_NAME) as file:
            file.write(json.dumps(plain, indent=1, ensure_ascii=False).encode())
        with whole_file(self.output / PAGE_NAME) as file:
            file.write(page(plain).encode())
