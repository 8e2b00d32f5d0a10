"""Runs all steps one after the other, and keeps the report as it grows."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.host.files import cannot_be_written
from tremorscope.runtime.prove.apart import run_apart
from tremorscope.runtime.prove.catalogue import Step, steps_of
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.plan import Plan
from tremorscope.runtime.prove.record import Record
from tremorscope.runtime.prove.redaction import known_secrets

Tell = Callable[[Step, Outcome, float], None]
Tick = Callable[[int, int, Step, float], None]


@dataclass(frozen=True)
class Told:
    """Who is told how things stand."""

    step: Tell = lambda _step, _outcome, _seconds: None
    """Each step, when it has ended."""
    tick: Tick = lambda _done, _total, _step, _elapsed_s: None
    """Several times a second: steps done, steps in all, the present one and its seconds."""


def prove(plan: Plan, told: Told) -> Record:
    """Run all steps; the report is on disk whatever happens, or cannot be.

    Raises:
        Fault: a configuration or bundle cannot be used, or the report cannot be written at the start.
        OutputFault: it could not be written later; all steps were run all the same.
        KeyboardInterrupt: interrupted; what was found until then is written.
    """
    record = begin(plan)
    try:
        for number, step in enumerate(record.steps):
            begun_s = time.monotonic()

            def tick(elapsed_s: float, number: int = number, step: Step = step) -> None:
                told.tick(number, len(record.steps), step, elapsed_s)

            outcome = run_apart(step, plan, tick)
            record.add(step, outcome, time.monotonic() - begun_s)
            told.step(step, outcome, record.seconds[step.name])
            _keep(record)
        record.end = "complete"
    except KeyboardInterrupt:
        record.end = "interrupted"
        _keep(record)
        raise
    record.write()
    return record


def begin(plan: Plan) -> Record:
    """The report before the first step, already written.

    Raises:
        OutputFault: it cannot be written.
        Fault: the plan cannot be followed.
    """
    try:
        plan.output.mkdir(parents=True, exist_ok=True)
        plan.work.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_be_written(plan.output, error) from None
    configurations = []
    for number in range(len(plan.configurations)):
        with contextlib.suppress(Fault):
            if (configuration := plan.configuration(number)) is not None:
                configurations.append(configuration)
    record = Record(plan.output, steps_of(plan), _version(), plan.quick, known_secrets(configurations))
    record.write()
    return record


def _keep(record: Record) -> None:
    """Write the report; a disk that is full now may not be later, and is no reason to stop."""
    with contextlib.suppress(OutputFault):
        record.write()


def _version() -> str:
    try:
        return version("tremorscope")
    except PackageNotFoundError:
        return "unknown"
