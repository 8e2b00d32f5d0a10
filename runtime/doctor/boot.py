"""Probe of the two root file systems (A and B) between which updates over the air switch."""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.finding import ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.machine import Machine

_SECOND_ROOT = "/dev/disk/by-partlabel/APP_b"
_VARIABLES = "/sys/firmware/efi/efivars/{}-781e084c-a330-417c-b678-38e696380cb9"
"""Variables of NVIDIA's UEFI, which every user may read: four bytes of attributes, then the value."""
_UNBOOTABLE = 0xFF
_FLASH = (
    "flash the device anew with ROOTFS_AB=1: https://docs.nvidia.com/jetson/archives/r36.5/DeveloperGuide/SD/"
    "RootFileSystem.html"
)


def slots(machine: Machine) -> ProbeFinding:
    """Probe of the boot loader's readiness to start the second root file system, if there is one."""
    name = "boot slots"
    if not is_jetson(machine):
        return not_needed(name, "this is no Jetson")
    if not machine.exists(_SECOND_ROOT):
        return not_needed(name, "one root file system")
    unbootable = _unbootable(machine)
    if unbootable:
        return wrong(
            name,
            f"root file system {unbootable} is marked unbootable",
            "it is never started again: an update that is written there comes back to this one",
            "sudo nvbootctrl -t rootfs dump-slots-info",
        )
    if not any(_variable(machine, "RootfsRedundancyLevel")):
        return wrong(
            name,
            "two root file systems, but RootfsRedundancyLevel is not set",
            "the boot loader knows of one alone: every update over the air goes back by itself",
            _FLASH,
        )
    return ok(name, "two root file systems, both can be started")


def _unbootable(machine: Machine) -> str:
    """The root file system that has failed too often, A or B; empty if none has."""
    said = machine.says("nvbootctrl", "-t", "rootfs", "dump-slots-info") or ""  # it answers root alone
    stated = dict(re.findall(r"slot: (\d+),.*status: (\w+)", said))
    for number, letter in enumerate("AB"):
        value = _variable(machine, f"RootfsStatusSlot{letter}")
        if stated.get(str(number)) == "unbootable" or value[:1] == bytes([_UNBOOTABLE]):
            return letter
    return ""


def _variable(machine: Machine, name: str) -> bytes:
    return machine.data(_VARIABLES.format(name))[4:]
