"""Memory and swap."""

from __future__ import annotations

import re

from runtime.doctor.finding import Finding, not_needed, ok, wrong
from runtime.doctor.machine import Machine

LEAST_AVAILABLE_BYTES = 1 << 30
"""A full-HD step on the CPU takes less; with less at hand, the kernel ends processes when something else grows."""
_LITTLE_MEMORY_BYTES = 9 << 30
"""Up to this much, building an engine can need more than there is."""


def _meminfo(machine: Machine) -> dict[str, int]:
    """Sizes of /proc/meminfo in bytes."""
    found = re.findall(r"^(\w+):\s+(\d+) kB", machine.text("/proc/meminfo"), re.MULTILINE)
    return {name: int(size) << 10 for name, size in found}


def memory(machine: Machine) -> Finding:
    """Memory, which on a Jetson the GPU uses as well."""
    sizes = _meminfo(machine)
    total, available = sizes.get("MemTotal", 0), sizes.get("MemAvailable", 0)
    found = f"{_gb(available)} of {_gb(total)} available"
    if available >= LEAST_AVAILABLE_BYTES:
        return ok("memory", found)
    return wrong(
        "memory",
        found,
        "too little for full HD: the kernel would end the service when it runs out",
        "sudo systemctl set-default multi-user.target && sudo reboot  # no desktop",
        needed=True,
    )


def swap(machine: Machine) -> Finding:
    """Swap, which only building an engine needs; zram is compressed memory and wears out no card."""
    name, sizes = "swap", _meminfo(machine)
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
