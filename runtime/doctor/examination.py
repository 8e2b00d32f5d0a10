"""Examination of a machine by all probes, which run in parallel."""

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
from tremorscope.runtime.doctor.finding import ProbeFinding
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs

Probe = Callable[[], ProbeFinding | list[ProbeFinding]]


@dataclass(frozen=True)
class Examination:
    """Result of all probes."""

    device: str
    """Short description of the machine."""
    needs: Needs
    groups: tuple[tuple[str, tuple[ProbeFinding, ...]], ...]
    """Findings by topic."""

    @property
    def findings(self) -> tuple[ProbeFinding, ...]:
        """All findings in order."""
        return tuple(finding for _, findings in self.groups for finding in findings)

    @property
    def can_run(self) -> bool:
        """True if nothing that is needed is amiss."""
        return not any(finding.prevents for finding in self.findings)

    def as_json(self) -> dict[str, Any]:
        """The examination as values of JSON."""
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
    """Run all probes; takes a few seconds, most of them to import libraries in processes of their own."""
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
    """Probes by topic, in the order of the report."""

    def alone(*probes: Callable[[Machine], ProbeFinding]) -> list[Probe]:
        return [partial(probe, machine) for probe in probes]

    def by_needs(*probes: Callable[[Machine, Needs], ProbeFinding | list[ProbeFinding]]) -> list[Probe]:
        return [partial(probe, machine, needs) for probe in probes]

    device = [
        *alone(board.board, board.jetson_linux, boot.slots, power.power_mode, power.clocks),
        *alone(heat.heat, heat.supply, memory.memory, memory.contiguous, memory.refused, memory.swap),
    ]
    software = [
        *alone(libraries.python),
        *by_needs(libraries.environment, precision.network),
        *alone(libraries.onnx_runtime),
        *by_needs(gpu_libraries.tensorrt, gpu_libraries.pycuda, gpu_libraries.cuda_bindings),
        *by_needs(libraries.publishing),
    ]
    for_cameras = [
        *by_needs(cameras.cameras, argus.packages, argus.daemon, camera_seen.seen, gstreamer.gstreamer),
        *by_needs(permissions.groups, permissions.devices),
        *alone(permissions.jtop),
    ]
    keeping = [*by_needs(storage.disk, storage.file_system), *alone(system.clock, system.journal)]
    return [("device", device), ("software", software), ("cameras", for_cameras), ("keeping", keeping)]


def _flat(answers: list[ProbeFinding | list[ProbeFinding]]) -> tuple[ProbeFinding, ...]:
    return tuple(finding for each in answers for finding in (each if isinstance(each, list) else [each]))


def _device(machine: Machine) -> str:
    model = machine.text("/proc/device-tree/model") or f"a computer of type {machine.architecture}"
    release = board.l4t_release(machine)
    return f"{model}, JetPack {board.jetpack(machine, release)}" if release else model
