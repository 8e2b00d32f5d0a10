"""What a person sees of the run on a terminal: a bar, a line for each step, and the verdict."""

from __future__ import annotations

from tremorscope.runtime.host.progress import ProgressBar
from tremorscope.runtime.prove.catalogue import Step
from tremorscope.runtime.prove.conductor import Told
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.record import JSON_NAME, PAGE_NAME, Record

_WIDTH = 12


def told_on(bar: ProgressBar) -> Told:
    """Tell a bar."""

    def tick(done: int, total: int, step: Step, elapsed_s: float) -> None:
        bar.note(f"{step.name} {elapsed_s:.0f} s of at most {step.limit_s:.0f} s")
        bar(done, total)

    def ended(step: Step, outcome: Outcome, seconds: float) -> None:
        for line in step_lines(step, outcome, seconds):
            bar.line(line)

    return Told(ended, tick)


def step_lines(step: Step, outcome: Outcome, seconds: float) -> list[str]:
    """A line for a step, and one with what helps where it failed."""
    state = outcome.state.upper() if outcome.state == "fails" else outcome.state
    told = [f"{state:<8} {step.name:<{_WIDTH}} {seconds:>6.1f} s  {outcome.said}"]
    if outcome.state == "fails" and outcome.remedy:
        told.append(f"{'':<{_WIDTH + 20}}{outcome.remedy}")
    return told


def verdict(record: Record) -> list[str]:
    """The end."""
    states = [outcome.state for outcome in record.outcomes.values()]
    failed = [name for name, outcome in record.outcomes.items() if outcome.state not in ("holds", "skipped")]
    counts = f"{states.count('holds')} hold, {states.count('skipped')} skipped"
    said = f"All that exists holds: {counts}." if not failed else f"{', '.join(failed)} failed; {counts}."
    return ["", said, f"report   {record.output / PAGE_NAME}, {JSON_NAME} beside it"]
