"""Restart of the camera daemon, after which a new process must get frames again within 45 s."""

from __future__ import annotations

import time

from tremorscope.runtime.cameras.opening import has_argus
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.host.privileged import ask
from tremorscope.runtime.prove.outcome import Outcome, Skip, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.probe import first_frame_s

_BACK_S = 45.0
_PROBE_S = 20.0


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Read a frame, restart the daemon, and read one again."""
    number = next((each for each in range(plan.cameras) if has_argus(plan.camera(each))), None)
    if number is None:
        raise Skip("no camera of Argus is configured")
    state = Machine().says("systemctl", "show", "--property=LoadState", "--value", "nvargus-daemon.service")
    if state != "loaded":
        raise Skip("there is no nvargus-daemon here")
    if not plan.restart_argus:
        raise Skip(
            "not allowed: it disturbs every camera of the device",
            remedy="tremorscope prove --restart-daemon",
        )
    before_s, why = first_frame_s(plan, number, _PROBE_S)
    findings.check("a frame before", _told(before_s, why), "a frame", holds=before_s is not None)
    refused = ask("restart-argus")
    findings.check("the restart", refused or "done", "done", holds=not refused)
    begun_s = time.monotonic()
    after_s, tries = None, 0
    while after_s is None and (left_s := _BACK_S - (time.monotonic() - begun_s)) > 0:
        after_s, why = first_frame_s(plan, number, min(_PROBE_S, left_s))
        tries += 1
    back_s = time.monotonic() - begun_s
    findings.fact("tries", tries)
    findings.fact("back_s", back_s if after_s is not None else None)
    findings.check(
        "a frame after the restart", _told(after_s, why), f"within {_BACK_S:g} s", holds=after_s is not None
    )
    return findings.outcome(f"frames again {back_s:.1f} s after the restart, at attempt {tries}")


def _told(seconds: float | None, why: str) -> str:
    return f"after {seconds:.2f} s" if seconds is not None else f"none ({why})"
