"""Terminal output of a run: a progress bar, a line for each step, and the verdict."""

from __future__ import annotations

from tremorscope.runtime.host.progress import ProgressBar
from tremorscope.runtime.prove.catalogue import ProveStep
from tremorscope.runtime.prove.conductor import ProveProgress
from tremorscope.runtime.prove.outcome import Outcome
from tremorscope.runtime.prove.record import JSON_NAME, PAGE_NAME, ProveReport

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
