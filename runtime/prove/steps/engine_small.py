"""A small engine: within a minute it tells whether TensorRT, parser, builder and runner work at all."""

from __future__ import annotations

from runtime.prove.engine_trial import try_engines
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan


def run(plan: Plan, findings: Findings) -> Outcome:
    """Both graphs of the site's network on small frames."""
    return findings.outcome(
        try_engines(plan, findings, plan.bundle, plan.small_size, tuple(plan.bundle.manifest.graphs))
    )
