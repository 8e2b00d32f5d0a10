"""A small engine: within a minute it tells whether TensorRT, parser, builder and runner work at all."""

from __future__ import annotations

from tremorscope.runtime.prove.engine_trial import try_engines
from tremorscope.runtime.prove.outcome import Findings, Outcome
from tremorscope.runtime.prove.plan import Plan
from tremorscope.runtime.prove.tensorrt import site_bundle


def run(plan: Plan, findings: Findings) -> Outcome:
    """Both graphs of the site's network on small frames."""
    bundle = site_bundle(plan)
    return findings.outcome(
        try_engines(plan, findings, bundle, plan.small_size, tuple(bundle.manifest.graphs))
    )
