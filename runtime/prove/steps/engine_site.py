"""The site's own engine: how long its build takes on this device, and with how much memory."""

from __future__ import annotations

from runtime.prove.engine_trial import try_engines
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan


def run(plan: Plan, findings: Findings) -> Outcome:
    """Both graphs of the site's network on frames of its camera's size."""
    return findings.outcome(
        try_engines(plan, findings, plan.bundle, plan.site_size, tuple(plan.bundle.manifest.graphs))
    )
