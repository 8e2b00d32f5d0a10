"""The process of one step: ``python -m tremorscope.runtime.prove.child OUTCOME MODULE [CAMERA]``, its plan on stdin.

It ends when the command does, however that ends, and writes the stacks of all threads where it is aborted.
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
from tremorscope.runtime.prove.outcome import Findings, Outcome, Skip, write_outcome
from tremorscope.runtime.prove.plan import Plan

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Run the step and keep its outcome."""
    faulthandler.enable()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    file, module, *camera = sys.argv[1:]
    plan = Plan.from_text(sys.stdin.read())
    findings = Findings(Path(file))
    write_outcome(Path(file), run_step(plan, findings, module, *(int(each) for each in camera)))


def run_step(plan: Plan, findings: Findings, module: str, camera: int | None = None) -> Outcome:
    """How a step ended; a fault, or a mistake in the program, is an outcome as well."""
    try:
        return load_step(module, camera)(plan, findings)
    except Skip as skip:
        return findings.skipped(skip)
    except Fault as fault:
        return findings.failed(fault.what, fault.remedy)
    except (
        OSError
    ) as error:  # of the surroundings: a disk that is full or may not be written to, a program that is gone
        what = f"{error.filename}: " if error.filename else ""
        return findings.failed(
            f"{what}{(error.strerror or str(error)).lower()}",
            "free some space, and check who may write there",
        )
    except MemoryError as error:
        return findings.failed(f"out of memory ({error})", "stop other programs, or use a smaller picture")
    except Exception as error:  # this is the supervisor of a step: whatever happens there is its outcome
        traceback.print_exc()
        return findings.failed(f"{type(error).__name__}: {error}", "report this as a mistake in the program")


if __name__ == "__main__":
    main()
