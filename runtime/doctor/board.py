"""Probes of the board, and of its release of JetPack and Jetson Linux (L4T)."""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.finding import ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.host import kernel_files

FLASH = "flash the device with JetPack 6.2 or later: https://developer.nvidia.com/embedded/jetpack"
_OLDEST_L4T = (36, 3)
"""JetPack 6.0: the first with a Python that tremorscope runs on."""
# Jetson Linux release -> JetPack: https://developer.nvidia.com/embedded/jetpack-archive. 36.4.7 came by apt alone.
_JETPACKS = {
    "36.3": "6.0",
    "36.4": "6.1",
    "36.4.3": "6.2",
    "36.4.4": "6.2.1",
    "36.4.7": "6.2.1",
    "36.5": "6.2.2",
    "38.2": "7.0",
    "38.2.1": "7.0",
    "38.2.2": "7.0",
    "38.4": "7.1",
}
_JETPACK_OF_MAJOR = {"35": "5", "36": "6", "38": "7", "39": "7.2"}


def l4t_release(machine: Machine) -> str | None:
    """Release of Jetson Linux, e.g. ``36.4.3``; None where this is no Jetson."""
    stated = kernel_files.l4t_release(machine.root)
    if stated:
        return stated
    installed = re.match(r"[\d.]+", machine.package("nvidia-l4t-core") or "")
    return installed[0] if installed else None


def release_numbers(release: str) -> tuple[int, ...]:
    """The numbers of a release: (36, 4, 3) of ``36.4.3-20250107174145``."""
    return tuple(int(part) for part in re.findall(r"\d+", release.partition("-")[0]))


def jetson_generation(machine: Machine) -> int:
    """7 on JetPack 7, whose CUDA is 13; 6 on JetPack 6, whose CUDA is 12, and where it is not known."""
    release = l4t_release(machine)
    return 7 if release and release_numbers(release)[0] > 36 else 6


def is_jetson(machine: Machine) -> bool:
    """True on a Jetson, with or without its software."""
    model = machine.text("/proc/device-tree/model")
    return l4t_release(machine) is not None or "jetson" in model.lower()


def jetpack(machine: Machine, release: str) -> str:
    """The JetPack that a release of Jetson Linux belongs to, as installed or as published."""
    installed = re.match(r"[\d.]+", machine.package("nvidia-jetpack") or "")
    if installed:
        return installed[0]
    known = _JETPACKS.get(release) or _JETPACKS.get(release.removesuffix(".0"))
    return known or _JETPACK_OF_MAJOR.get(release.partition(".")[0], "unknown")


def board(machine: Machine) -> ProbeFinding:
    """Probe of the board."""
    model = machine.text("/proc/device-tree/model")
    if is_jetson(machine):
        return ok("board", f"{model or 'a Jetson'}, {machine.architecture}")
    what = model or "no Jetson"
    return ok(
        "board", f"{what}, {machine.architecture}", "frames are magnified on the CPU, or on an NVIDIA GPU"
    )


def jetson_linux(machine: Machine) -> ProbeFinding:
    """Probe of JetPack and Jetson Linux (L4T)."""
    name, release = "JetPack", l4t_release(machine)
    if release is None:
        if is_jetson(machine):
            return wrong(
                name,
                "a Jetson without Jetson Linux",
                "neither GPU nor CSI cameras can be used",
                FLASH,
                needed=True,
            )
        return not_needed(name, "this is no Jetson")
    found = f"{jetpack(machine, release)}, Jetson Linux {release}"
    if release_numbers(release) < _OLDEST_L4T:
        return wrong(name, found, "its Python is too old for tremorscope", FLASH, needed=True)
    return ok(name, found)
