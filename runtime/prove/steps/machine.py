"""Versions and board, to which all other results belong, and the doctor's findings."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version

from tremorscope.runtime.doctor.board import is_jetson, jetpack, l4t_release
from tremorscope.runtime.doctor.examination import examine
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs, needs_of
from tremorscope.runtime.gpu.device import read_device
from tremorscope.runtime.prove.outcome import Fact, Outcome, StepFindings
from tremorscope.runtime.prove.plan import ProvePlan

_DISTRIBUTIONS = (
    "tremorscope",
    "numpy",
    "scipy",
    "av",
    "onnxruntime",
    "tensorrt",
    "pycuda",
    "cuda-bindings",
    "jetson-stats",
)


def run(plan: ProvePlan, findings: StepFindings) -> Outcome:
    """Add all versions, and check that nothing that the device needs is at fault."""
    machine = Machine()
    device, available_bytes = read_device()
    release = l4t_release(machine)
    facts: dict[str, Fact] = {
        "board": machine.text("/proc/device-tree/model") or f"a computer of type {device.machine}",
        "jetson": is_jetson(machine),
        "jetson_linux": release,
        "jetpack": jetpack(machine, release) if release else None,
        "gpu": device.gpu,
        "compute_capability": device.compute_capability,
        "cuda": device.cuda,
        "power_mode": device.power_mode,
        "memory_available_mib": available_bytes // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "isolated": bool(sys.flags.isolated),
    }
    for name, value in facts.items():
        findings.fact(name, value)
    for distribution in _DISTRIBUTIONS:
        findings.fact(f"version_{distribution}", _version(distribution))
    configuration = plan.configuration()
    examined = examine(machine, needs_of(configuration) if configuration else Needs())
    findings.table(
        "What the doctor found",
        ["thing", "state", "found", "what mends it"],
        [[each.name, each.state, each.found, each.command] for each in examined.findings],
    )
    for each in examined.findings:
        if each.needed and each.is_amiss:
            findings.check(f"doctor, {each.name}", each.found, "nothing amiss that is needed", holds=False)
    findings.check(
        "doctor", "can run" if examined.can_run else "cannot run", "can run", holds=examined.can_run
    )
    return findings.outcome(examined.device)


def _version(distribution: str) -> str | None:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None
