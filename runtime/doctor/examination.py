"""Examination of a machine by all probes, which run in parallel; and its report: all findings, then the faults with
the commands that mend them.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from tremorscope.runtime.doctor import board, cameras, gpu, libraries, memory_and_disks, system
from tremorscope.runtime.doctor.probe import Machine, Needs, ProbeFinding

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
        *alone(board.board, board.jetson_linux, memory_and_disks.slots, board.power_mode, board.clocks),
        *alone(
            board.heat,
            board.supply,
            memory_and_disks.memory,
            memory_and_disks.contiguous,
            memory_and_disks.refused,
            memory_and_disks.swap,
        ),
    ]
    software = [
        *alone(libraries.python),
        *by_needs(libraries.environment, gpu.network),
        *alone(libraries.onnx_runtime),
        *by_needs(gpu.tensorrt, gpu.pycuda, gpu.cuda_bindings),
        *by_needs(libraries.publishing),
    ]
    for_cameras = [
        *by_needs(cameras.cameras, cameras.packages, cameras.daemon, cameras.seen, libraries.gstreamer),
        *by_needs(system.groups, system.devices),
        *alone(system.jtop),
    ]
    keeping = [
        *by_needs(memory_and_disks.disk, memory_and_disks.file_system),
        *alone(system.clock, system.journal),
    ]
    return [("device", device), ("software", software), ("cameras", for_cameras), ("keeping", keeping)]


def _flat(answers: list[ProbeFinding | list[ProbeFinding]]) -> tuple[ProbeFinding, ...]:
    return tuple(finding for each in answers for finding in (each if isinstance(each, list) else [each]))


def _device(machine: Machine) -> str:
    model = machine.text("/proc/device-tree/model") or f"a computer of type {machine.architecture}"
    release = board.l4t_release(machine)
    return f"{model}, JetPack {board.jetpack(machine, release)}" if release else model


_WIDTH = 110
_MARKS = {"ok": "ok", "missing": "missing", "wrong": "wrong", "not needed": "-"}


def lines(examined: Examination) -> list[str]:
    """The report as lines of text."""
    widest = max(len(finding.name) for finding in examined.findings)
    found = [examined.device, ""]
    for _, findings in examined.groups:
        found += [_line(finding, widest) for finding in findings]
        found.append("")
    amiss = sorted((each for each in examined.findings if each.is_amiss), key=lambda each: not each.prevents)
    for finding in amiss:
        found += _advice(finding)
    if amiss:
        found.append("")
    return [*found, _verdict(examined)]


def _line(finding: ProbeFinding, widest: int) -> str:
    mark = _MARKS[finding.state].upper() if finding.prevents else _MARKS[finding.state]
    head = f"  {mark:<8}{finding.name:<{widest}}  "
    found = finding.found + (f" ({finding.means})" if finding.state == "not needed" and finding.means else "")
    return head + found


def _advice(finding: ProbeFinding) -> list[str]:
    urgency = "needed" if finding.prevents else "advised"
    text = f"{finding.name}: {finding.found}. {finding.means[:1].upper()}{finding.means[1:]}."
    wrapped = textwrap.wrap(
        text, _WIDTH, initial_indent=f"  {urgency:<8}", subsequent_indent=" " * 10, break_long_words=False
    )
    return [*wrapped, f"          $ {finding.command}"]


def _verdict(examined: Examination) -> str:
    needed = sum(finding.prevents for finding in examined.findings)
    advised = sum(finding.is_amiss for finding in examined.findings) - needed
    if needed:
        more = f"; {advised} more should be mended" if advised else ""
        what = "1 thing that it needs is" if needed == 1 else f"{needed} things that it needs are"
        return f"This device cannot run yet: {what} amiss{more}."
    if advised:
        return f"This device can run; {advised} {'thing' if advised == 1 else 'things'} should be mended."
    return "This device can run, and nothing is amiss."
