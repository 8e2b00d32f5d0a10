"""Probe of the bundle that magnifies, and of its precision on a GPU and on the CPU."""

from __future__ import annotations

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.finding import ProbeFinding, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs
from tremorscope.runtime.engines.interface.bundle import open_bundle
from tremorscope.runtime.errors import BundleFault


def network(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the configured bundle, or of the default one."""
    try:
        bundle = open_bundle(needs.bundle)
        on_gpu = bundle.for_gpu()
    except BundleFault as fault:
        return wrong("network", str(fault.what), "nothing can be magnified", str(fault.remedy), needed=True)
    precision = bundle.manifest.precision.upper()
    if on_gpu is not bundle:
        return ok(
            "network", f"{bundle.named}: {on_gpu.manifest.precision.upper()} on a GPU, {precision} on the CPU"
        )
    if precision == "FP32" and needs.on_gpu and is_jetson(machine):
        return wrong(
            "network",
            f"{bundle.named}, {precision} on a GPU, too",
            "FP32 uses no tensor cores, and takes about eight times as long as FP16",
            "name realtime, lite or nano, or export with --precision fp16",
        )
    return ok("network", f"{bundle.named}, {precision}")
