"""The site's own engine: build time and memory on this device."""

from __future__ import annotations

from tremorscope.runtime.prove.engine_trial import try_engines
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import site_bundle


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Try both graphs of the site's network on frames of its camera's size."""
    bundle = site_bundle(plan)
    return findings.outcome(
        try_engines(plan, findings, bundle, plan.site_size, tuple(bundle.manifest.graphs))
    )
