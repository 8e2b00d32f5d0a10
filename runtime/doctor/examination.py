"""Asks every probe, all at once, and puts what they found in order."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tremorscope.runtime.doctor import (
    argus,
    board,
    boot,
    camera_seen,
    cameras,
    gpu_libraries,
    gstreamer,
    heat,
    libraries,
    memory,
    permissions,
    power,
    precision,
    storage,
    system,
)
from tremorscope.runtime.doctor.finding import Finding
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs

Probe = Callable[[], Finding | list[Finding]]


@dataclass(frozen=True)
class Examination:
    """All that was found."""

    device: str
    """The machine in a few words."""
    needs: Needs
    groups: tuple[tuple[str, tuple[Finding, ...]], ...]
    """Findings by what they are about."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings in order."""
        return tuple(finding for _, findings in self.groups for finding in findings)

    @property
    def can_run(self) -> bool:
        """Whether nothing is amiss that is needed."""
        return not any(finding.prevents for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "format_version": 1,
            "device": self.device,
            "camera": self.needs.camera,
            "can_run": self.can_run,
            "amiss": sum(finding.is_amiss for finding in self.findings),
            "findings": [
                {"about": about, **finding.as_json()}
                for about, findings in self.groups
                for finding in findings
            ],
        }


def examine(
    machine: Machine, needs: Needs, progress: Callable[[int, int], None] = lambda _done, _total: None
) -> Examination:
    """Look at everything; a few seconds, most of them for importing libraries in processes of their own."""
    probes = _probes(machine, needs)
    jobs = [probe for _, group in probes for probe in group]
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = [pool.submit(job) for job in jobs]
        answers = []
        for future in futures:
            answers.append(future.result())
            progress(len(answers), len(futures))
    remaining = iter(answers)
    groups = tuple((about, _flat([next(remaining) for _ in group])) for about, group in probes)
    return Examination(_device(machine), needs, groups)


def _probes(machine: Machine, needs: Needs) -> list[tuple[str, list[Probe]]]:
    return [
        (
            "device",
            [
                partial(board.board, machine),
                partial(board.jetson_linux, machine),
                partial(boot.slots, machine),
                partial(power.power_mode, machine),
                partial(power.clocks, machine),
                partial(heat.heat, machine),
                partial(heat.supply, machine),
                partial(memory.memory, machine),
                partial(memory.contiguous, machine),
                partial(memory.refused, machine),
                partial(memory.swap, machine),
            ],
        ),
        (
            "software",
            [
                partial(libraries.python, machine),
                partial(libraries.environment, machine, needs),
                partial(precision.network, machine, needs),
                partial(libraries.onnx_runtime, machine),
                partial(gpu_libraries.tensorrt, machine, needs),
                partial(gpu_libraries.pycuda, machine, needs),
                partial(gpu_libraries.cuda_bindings, machine, needs),
                partial(libraries.publishing, machine, needs),
            ],
        ),
        (
            "cameras",
            [
                partial(cameras.cameras, machine, needs),
                partial(argus.packages, machine, needs),
                partial(argus.daemon, machine, needs),
                partial(camera_seen.seen, machine, needs),
                partial(gstreamer.gstreamer, machine, needs),
                partial(permissions.groups, machine, needs),
                partial(permissions.devices, machine, needs),
                partial(permissions.jtop, machine),
            ],
        ),
        (
            "keeping",
            [
                partial(storage.disk, machine, needs),
                partial(storage.file_system, machine, needs),
                partial(system.clock, machine),
                partial(system.journal, machine),
            ],
        ),
    ]


def _flat(answers: list[Finding | list[Finding]]) -> tuple[Finding, ...]:
    return tuple(finding for each in answers for finding in (each if isinstance(each, list) else [each]))


def _device(machine: Machine) -> str:
    model = machine.text("/proc/device-tree/model") or f"a computer of type {machine.architecture}"
    release = board.l4t_release(machine)
    return f"{model}, JetPack {board.jetpack(machine, release)}" if release else model
