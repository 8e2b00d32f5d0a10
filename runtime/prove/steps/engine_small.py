"""A small engine: a quick test of TensorRT, parser, builder and runner within a minute."""

from __future__ import annotations

from tremorscope.runtime.prove.engine_trial import try_engines
from tremorscope.runtime.prove.outcome import Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan
from tremorscope.runtime.prove.tensorrt import site_bundle


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Try both graphs of the site's network on small frames."""
    bundle = site_bundle(plan)
    return findings.outcome(
        try_engines(plan, findings, bundle, plan.small_size, tuple(bundle.manifest.graphs))
    )
