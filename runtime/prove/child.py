"""The process of one step: ``python -m tremorscope.runtime.prove.child OUTCOME MODULE [CAMERA]``, its plan on stdin.

It is killed when the command ends in any way, and writes the stacks of all threads if it is aborted.
"""

from __future__ import annotations

import ctypes
import faulthandler
import signal
import sys
import traceback
from pathlib import Path

from tremorscope.runtime.errors import Fault
from tremorscope.runtime.prove.catalogue import load_step
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings, write_outcome
from tremorscope.runtime.prove.plan import ProvePlan

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
            f"{what}{(error.strerror or str(error)).lower()}",
            "free some space, and check who may write there",
        )
    except MemoryError as error:
        return findings.failed(f"out of memory ({error})", "stop other programs, or use a smaller picture")
    except Exception as error:  # this is the supervisor of a step: every exception there is an outcome
        traceback.print_exc()
        return findings.failed(f"{type(error).__name__}: {error}", "report this as a mistake in the program")


if __name__ == "__main__":
    main()
