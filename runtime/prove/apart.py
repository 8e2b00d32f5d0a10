"""Execution of one step in a process of its own, with a time limit; every end of the process is an outcome. The
process is ``python -m tremorscope.runtime.prove.apart OUTCOME MODULE [CAMERA]``, its plan on stdin.

It is killed when the command ends in any way, and writes the stacks of all threads if it is aborted.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tremorscope.files import reason_of
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings, read_outcome, write_outcome
from tremorscope.runtime.prove.plan import ProvePlan, ProveStep, load_step

_LOOK_S = 0.1
_STACKS_S = 3.0
"""Time for an aborted process to write the stacks of its threads."""
_MOST_OUTPUT = 4000


def module_command(module: str, *arguments: str) -> list[str]:
    """Command line of a module of this package in this interpreter, as isolated as this process is."""
    isolated = ["-I"] if sys.flags.isolated else []
    return [sys.executable, *isolated, "-X", "faulthandler", "-m", module, *arguments]


def run_apart(
    step: ProveStep, plan: ProvePlan, tick: Callable[[float], None] = lambda _elapsed_s: None
) -> Outcome:
    """Run a step; returns within its time limit and some seconds.

    Args:
        step: the step.
        plan: the plan of the run.
        tick: called several times a second with the seconds since its start; an exception in it ends the step.
    """
    try:
        return _run_apart(step, plan, tick)
    except OSError as error:
        why = reason_of(error)
        return Outcome("fails", f"could not be run ({why})", f"free some space in {tempfile.gettempdir()}")


def _run_apart(step: ProveStep, plan: ProvePlan, tick: Callable[[float], None]) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="tremorscope-prove-") as directory:
        file, log = Path(directory) / "outcome.json", Path(directory) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                module_command("tremorscope.runtime.prove.apart", str(file), *step.arguments),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches the command alone, which ends its steps
            )
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
                stdin.write(plan.as_text().encode())
            timed_out = not _wait(process, step.limit_s, tick)
        finally:
            _end(process)
        return _judge(step, process.returncode, timed_out, read_outcome(file), _tail(log))


def _wait(process: subprocess.Popen[bytes], limit_s: float, tick: Callable[[float], None]) -> bool:
    """Wait for a process; returns True if it ended in time. One that did not is aborted, and writes its stacks."""
    begun_s = time.monotonic()
    while process.poll() is None:
        elapsed_s = time.monotonic() - begun_s
        if elapsed_s > limit_s:
            os.killpg(process.pid, signal.SIGABRT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_STACKS_S)
            return False
        tick(elapsed_s)
        time.sleep(_LOOK_S)
    return True


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the step's process and its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _judge(step: ProveStep, status: int, timed_out: bool, kept: Outcome | None, output: str) -> Outcome:
    found = kept or Outcome("unfinished", "it said nothing")
    if timed_out:
        what = f"did not end within {step.limit_s:.0f} s, and was ended"
        return replace(found, state="fails", said=what, remedy="see what it was doing below", output=output)
    if found.state == "unfinished":
        return replace(
            found, state="fails", said=_ending(status), remedy="see its last words below", output=output
        )
    # The outcome is complete: a library that then crashes the process is only noted.
    noted = {**found.facts, "exit": _ending(status)} if status else found.facts
    return replace(found, facts=noted, output=output if found.state == "fails" else "")


def _ending(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-status).name}"
    return f"its process ended with exit status {status}"


def _tail(log: Path) -> str:
    try:
        with log.open("rb") as file:
            at = max(0, file.seek(0, os.SEEK_END) - _MOST_OUTPUT)
            file.seek(at)
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    # Whole lines only: half of a secret would not be redacted.
    return (text.partition("\n")[2] if at else text).strip()


_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the step and write its outcome."""
    faulthandler.enable()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    file, module, *camera = sys.argv[1:]
    plan = ProvePlan.from_text(sys.stdin.read())
    findings = StepFindings(Path(file))
    write_outcome(Path(file), run_step(plan, findings, module, *(int(each) for each in camera)))


def run_step(plan: ProvePlan, findings: StepFindings, module: str, camera: int | None = None) -> Outcome:
    """Run a step and return its outcome; a fault, or an error in the program, is an outcome as well."""
    try:
        return load_step(module, camera)(plan, findings)
    except Skip as skip:
        return findings.skipped(skip)
    except Fault as fault:
        return findings.failed(fault.what, fault.remedy)
    except OSError as error:  # e.g. a disk that is full or may not be written to, a program that is missing
        what = f"{error.filename}: " if error.filename else ""
        return findings.failed(
            f"{what}{reason_of(error)}",
            "free some space, and check who may write there",
        )
    except MemoryError as error:
        return findings.failed(f"out of memory ({error})", "stop other programs, or use a smaller picture")
    except Exception as error:  # this is the supervisor of a step: every exception there is an outcome
        traceback.print_exc()
        return findings.failed(f"{type(error).__name__}: {error}", "report this as a mistake in the program")


if __name__ == "__main__":
    main()
