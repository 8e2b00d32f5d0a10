"""Probes of memory, contiguous memory for devices (CMA), refused allocations since the start, and swap."""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.board import is_jetson, l4t_release, release_numbers
from tremorscope.runtime.doctor.finding import ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.permissions import group_id
from tremorscope.runtime.host.kernel_files import meminfo

LEAST_AVAILABLE_BYTES = 1 << 30
"""Available memory that is enough for a full-HD step on the CPU; with less, the kernel may end processes."""
_LITTLE_MEMORY_BYTES = 9 << 30
"""Total memory up to which building an engine may need more than there is."""


_NO_DESKTOP = "sudo systemctl set-default multi-user.target && sudo reboot  # no desktop"
_SMALL_CMA_BYTES = 256 << 20
"""Size that JetPack 7.2 sets aside on an Orin Nano, and that a desktop alone can use up."""
# Messages of the kernel, or of NVIDIA's libraries in the service's output, when memory is refused, with their meaning.
_REFUSALS = {
    r"NvMapMem\w*Alloc": (
        "the GPU was refused memory (NvMapMemAlloc)",
        "it may be refused though memory is free: there were fragments alone, or more than L4T 36.4.7 and later allow",
    ),
    r"cma.*alloc failed": (
        "devices were refused memory that lies in one piece (CMA)",
        "cameras and screens share it: frames cannot be taken",
    ),
    r"Out of memory: Killed process": (
        "the kernel ended a process for want of memory",
        "it may be the service next time",
    ),
}
_MAY_READ_LOG = ("adm", "systemd-journal")


def memory(machine: Machine) -> ProbeFinding:
    """Probe of the memory, which on a Jetson the GPU uses as well."""
    sizes = meminfo(machine.root)
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
    found = f"{_gb(available)} of {_gb(total)} available"
    if available >= LEAST_AVAILABLE_BYTES:
        return ok("memory", found)
    return wrong(
        "memory",
        found,
        "too little for full HD: the kernel would end the service when it runs out",
        _NO_DESKTOP,
        needed=True,
    )


def contiguous(machine: Machine) -> ProbeFinding:
    """Probe of the contiguous memory for devices (CMA), which cameras and screens share.

    Its free size does not matter, because the kernel lends it to programs until a device asks for it.
    """
    name, sizes = "memory in one piece", meminfo(machine.root)
    total, free = sizes.get("CmaTotal", 0), sizes.get("CmaFree", 0)
    release = l4t_release(machine)
    if not is_jetson(machine) or not total:
        return not_needed(name, "none is set aside")
    found = f"{total >> 20} MB set aside (CMA), {free >> 20} MB not even lent"
    is_jetpack_72 = release is not None and release_numbers(release) >= (39,)
    desktop = machine.run(("systemctl", "is-active", "display-manager"))
    if is_jetpack_72 and total <= _SMALL_CMA_BYTES and desktop is not None and desktop.status == 0:
        means = "a desktop can use all of it up, and cameras are then refused theirs though memory is free"
        return wrong(name, f"{found}, with a desktop", means, _NO_DESKTOP)
    return ok(name, found)


def refused(machine: Machine) -> ProbeFinding:
    """Probe of this start's log for refused allocations."""
    name = "refused memory"
    if machine.user_id != 0 and not {group_id(machine, each) for each in _MAY_READ_LOG} & machine.group_ids:
        return ok(name, "not known: only root reads the log", "ask as root", "sudo tremorscope doctor")
    pattern = "|".join(_REFUSALS)
    command = (
        "journalctl",
        "--boot",
        "--quiet",
        "--no-pager",
        "--output",
        "cat",
        "--lines",
        "20",
        "--grep",
        pattern,
    )
    answer = machine.run(command) or machine.run(("dmesg",))
    lines = answer.output.splitlines() if answer is not None else []
    for refusal, (found, means) in _REFUSALS.items():
        said = [line for line in lines if re.search(refusal, line)]
        if said:
            return wrong(name, f"{found} since the start: {said[-1].strip()[:80]}", means, _NO_DESKTOP)
    return ok(name, "none since the start")


def swap(machine: Machine) -> ProbeFinding:
    """Probe of the swap, which only building an engine needs; zram is compressed memory and spares a card."""
    name, sizes = "swap", meminfo(machine.root)
    total = sizes.get("SwapTotal", 0)
    if total:
        kinds = re.findall(r"^(/\S+)", machine.text("/proc/swaps"), re.MULTILINE)
        on_disk = [kind for kind in kinds if "zram" not in kind]
        wears = "on a card it wears that out, and frames that wait for it come late" if on_disk else ""
        return ok(
            name, f"{_gb(total)}{' on ' + ', '.join(on_disk) if on_disk else ', compressed memory'}", wears
        )
    if sizes.get("MemTotal", 0) > _LITTLE_MEMORY_BYTES:
        return not_needed(name, "none, with this much memory")
    return wrong(
        name,
        "none",
        "building an engine may run out of memory",
        "sudo systemctl enable --now nvzramconfig",
    )


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
