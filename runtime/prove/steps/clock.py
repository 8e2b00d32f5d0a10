"""The clock: that it is set, that it goes evenly, and whether anybody keeps it right."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from runtime.doctor.machine import Machine
from runtime.doctor.system import clock
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan

_FIRST_YEAR = 2025
"""A device without a battery wakes up in 1970, or in the year of its system's image."""
_LARGEST_DRIFT_PPM = 500.0
"""As far as the kernel lets a time server bend the clock (adjtimex)."""


def run(plan: Plan, findings: Findings) -> Outcome:
    """Compare the clock that alarms are stamped with to the one that never steps."""
    year = datetime.now(timezone.utc).year
    findings.check("year", year, f"{_FIRST_YEAR} or later", holds=year >= _FIRST_YEAR)
    kept = clock(Machine())
    findings.fact("kept_right_by", kept.found)
    if kept.is_amiss:
        findings.fact("what_mends_it", kept.command)
    seconds = 0.5 if plan.quick else 5.0
    begun, unix_before = time.monotonic(), time.time()
    last, backwards = begun, 0
    while (now := time.monotonic()) - begun < seconds:
        backwards += now < last
        last = now
        time.sleep(0.001)
    off_s = (time.time() - unix_before) - (time.monotonic() - begun)
    drift_ppm = 1e6 * off_s / seconds
    findings.check("monotonic clock went back", backwards, 0, holds=backwards == 0)
    # Two readings of two clocks are some microseconds apart, more on a busy machine.
    allowed_ppm = _LARGEST_DRIFT_PPM + 1e6 * 0.002 / seconds
    findings.check(
        "Unix time against it",
        f"{drift_ppm:+.0f} ppm",
        f"within {allowed_ppm:.0f} ppm",
        holds=abs(drift_ppm) <= allowed_ppm,
    )
    return findings.outcome(f"{kept.found}; Unix time {drift_ppm:+.0f} ppm against the monotonic clock")
