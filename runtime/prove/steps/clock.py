"""The clock: it must be set, run evenly, and be synchronised."""

from __future__ import annotations

import time
from datetime import datetime, timezone

from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.system import clock
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_FIRST_YEAR = 2025
"""Earliest plausible year: a device without a battery starts in 1970, or in the year of its system's image."""
_LARGEST_DRIFT_PPM = 500.0
"""Largest rate correction that the kernel allows a time server (adjtimex)."""


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Compare the real-time clock, which stamps alarms, with the monotonic one."""
    year = datetime.now(timezone.utc).year
    findings.check("year", year, f"{_FIRST_YEAR} or later", holds=year >= _FIRST_YEAR)
    kept = clock(Machine())
    findings.fact("kept_right_by", kept.found)
    if kept.is_amiss:
        findings.fact("what_mends_it", kept.command)
    seconds = 0.5 if plan.quick else 5.0
    before, begun_s = _offset_s(), time.monotonic()
    last_s, backwards = begun_s, 0
    while (now_s := time.monotonic()) - begun_s < seconds:
        backwards += now_s < last_s
        last_s = now_s
        time.sleep(0.001)
    after, elapsed_s = _offset_s(), time.monotonic() - begun_s
    drift_ppm = 1e6 * (after[0] - before[0]) / elapsed_s
    findings.check("monotonic clock went back", backwards, 0, holds=backwards == 0)
    allowed_ppm = _LARGEST_DRIFT_PPM + 1e6 * (before[1] + after[1]) / elapsed_s
    findings.check(
        "Unix time against it",
        f"{drift_ppm:+.0f} ppm",
        f"within {allowed_ppm:.0f} ppm",
        holds=abs(drift_ppm) <= allowed_ppm,
    )
    return findings.outcome(f"{kept.found}; Unix time {drift_ppm:+.0f} ppm against the monotonic clock")


def _offset_s() -> tuple[float, float]:
    """Unix time minus the monotonic clock, and its uncertainty: the quickest of many readings."""
    readings = []
    for _ in range(50):
        first_s, unix_s, second_s = time.monotonic(), time.time(), time.monotonic()
        readings.append((second_s - first_s, unix_s - (first_s + second_s) / 2))
    unsure_s, offset_s = min(readings)
    return offset_s, unsure_s
