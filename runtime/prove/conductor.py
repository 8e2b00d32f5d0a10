"""Execution of all steps one after the other, with the report written after each, and the terminal's output: a
progress bar, a line for each step, and the verdict.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from tremorscope.runtime.errors import Fault, OutputFault
from tremorscope.runtime.host.files import cannot_be_written
from tremorscope.runtime.host.progress import ProgressBar
from tremorscope.runtime.prove.apart import run_apart
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.plan import ProvePlan, ProveStep, steps_of
from tremorscope.runtime.prove.record import JSON_NAME, PAGE_NAME, ProveReport, known_secrets

Tell = Callable[[ProveStep, Outcome, float], None]
Tick = Callable[[int, int, ProveStep, float], None]


@dataclass(frozen=True)
class ProveProgress:
    """Callbacks for the progress of a run."""

    step: Tell = lambda _step, _outcome, _seconds: None
    """Called when a step has ended."""
    tick: Tick = lambda _done, _total, _step, _elapsed_s: None
    """Called several times a second with steps done, steps in all, the present one and its seconds."""


def prove(plan: ProvePlan, progress: ProveProgress) -> ProveReport:
    """Run all steps; the report is written at the start and after every step.

    Raises:
        Fault: a configuration or bundle cannot be used, or the report cannot be written at the start.
        OutputFault: it could not be written later; all steps were run all the same.
        KeyboardInterrupt: interrupted; the results until then are written.
    """
    record = begin(plan)
    try:
        for number, step in enumerate(record.steps):
            begun_s = time.monotonic()

            def tick(elapsed_s: float, number: int = number, step: ProveStep = step) -> None:
                progress.tick(number, len(record.steps), step, elapsed_s)

            outcome = run_apart(step, plan, tick)
            record.add(step, outcome, time.monotonic() - begun_s)
            progress.step(step, outcome, record.seconds[step.name])
            _keep(record)
        record.end = "complete"
    except KeyboardInterrupt:
        record.end = "interrupted"
        _keep(record)
        raise
    record.write()
    return record


def begin(plan: ProvePlan) -> ProveReport:
    """Write the report before the first step, and return it.

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
    record = ProveReport(plan.output, steps_of(plan), _version(), plan.quick, known_secrets(configurations))
    record.write()
    return record


def _keep(record: ProveReport) -> None:
    """Write the report; a failure, e.g. a full disk, may pass and does not stop the run."""
    with contextlib.suppress(OutputFault):
        record.write()


def _version() -> str:
    try:
        return version("tremorscope")
    except PackageNotFoundError:
        return "unknown"


_WIDTH = 12


def progress_on(bar: ProgressBar) -> ProveProgress:
    """Callbacks that show the progress on a bar."""

    def tick(done: int, total: int, step: ProveStep, elapsed_s: float) -> None:
        bar.note(f"{step.name} {elapsed_s:.0f} s of at most {step.limit_s:.0f} s")
        bar(done, total)

    def ended(step: ProveStep, outcome: Outcome, seconds: float) -> None:
        for line in step_lines(step, outcome, seconds):
            bar.line(line)

    return ProveProgress(ended, tick)


def step_lines(step: ProveStep, outcome: Outcome, seconds: float) -> list[str]:
    """Line of a step, and one with the remedy if it failed."""
    state = outcome.state.upper() if outcome.state == "fails" else outcome.state
    lines = [f"{state:<8} {step.name:<{_WIDTH}} {seconds:>6.1f} s  {outcome.said}"]
    if outcome.state == "fails" and outcome.remedy:
        lines.append(f"{'':<{_WIDTH + 20}}{outcome.remedy}")
    return lines


def verdict(record: ProveReport) -> list[str]:
    """Last lines: the counts of outcomes, and the names of the report's files."""
    states = [outcome.state for outcome in record.outcomes.values()]
    failed = [name for name, outcome in record.outcomes.items() if outcome.state not in ("holds", "skipped")]
    counts = f"{states.count('holds')} hold, {states.count('skipped')} skipped"
    said = f"All that exists holds: {counts}." if not failed else f"{', '.join(failed)} failed; {counts}."
    return ["", said, f"report   {record.output / PAGE_NAME}, {JSON_NAME} beside it"]
