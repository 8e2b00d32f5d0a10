"""Report of a run, written as a whole after every step, so that an interrupted run leaves a valid one; known secrets
are replaced everywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Literal, get_args

from tremorscope.runtime.cameras.settings import RtspCameraSettings
from tremorscope.runtime.configuration.schema import Configuration
from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.probe import Machine
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.host.files import whole_file
from tremorscope.runtime.host.secrets import Secret, read_credential, read_secret
from tremorscope.runtime.prove.open_points import answer_points
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.page import page
from tremorscope.runtime.prove.plan import ProveStep

HIDDEN = "[left out]"
_SHORTEST = 4
"""Length below which a secret is not redacted: it would match ordinary words, and protects nothing."""
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@\"']+:[^/\s@\"']*(?=@)")
"""User and password in an address."""


def known_secrets(
    configurations: Iterable[Configuration], environment: Mapping[str, str] = os.environ
) -> frozenset[str]:
    """Every password and token that this process could read."""
    found: set[str] = set()
    for name in get_args(Secret):
        with contextlib.suppress(Fault):
            found.add(read_secret(name, environment) or "")
    for configuration in configurations:
        camera = configuration.camera
        if isinstance(camera, RtspCameraSettings) and camera.credential is not None:
            with contextlib.suppress(Fault):
                found.add(read_credential(camera.credential, environment))
    directory = environment.get("CREDENTIALS_DIRECTORY")
    for path in sorted(Path(directory).glob("*")) if directory else ():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found.add(path.read_text(encoding="utf-8").strip())
    return frozenset(each for each in found if len(each) >= _SHORTEST)


def redacted(plain: Any, secrets: frozenset[str]) -> Any:
    """Replace the secrets in values of JSON, in names as in texts."""
    if isinstance(plain, str):
        for secret in sorted(secrets, key=len, reverse=True):
            plain = plain.replace(secret, HIDDEN)
        return _IN_ADDRESS.sub(HIDDEN, plain)
    if isinstance(plain, Mapping):
        return {redacted(name, secrets): redacted(value, secrets) for name, value in plain.items()}
    if isinstance(plain, (list, tuple)):
        return [redacted(each, secrets) for each in plain]
    return plain


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
