"""Probes of memory (contiguous memory for devices, refused allocations, swap) and of disks: that of store and clips,
and the two root file systems (A and B) between which updates over the air switch.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tremorscope.runtime.doctor.board import is_jetson, l4t_release, release_numbers
from tremorscope.runtime.doctor.probe import Machine, Needs, ProbeFinding, not_needed, ok, wrong
from tremorscope.runtime.doctor.system import group_id
from tremorscope.runtime.host.files import meminfo
from tremorscope.runtime.store.settings import DiskSettings

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


LEAST_FREE_BYTES = DiskSettings().level_bytes("previews")
"""Free space below which the disk guard gives up magnified clips."""
_ON_THE_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "fuse.sshfs"}
_WITHOUT_JOURNAL = {"vfat", "exfat", "msdos", "ntfs", "ntfs3", "fuseblk"}
_VOLATILE = {"tmpfs", "ramfs"}


def disk(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the free space for data."""
    name, place = "disk", _nearest(machine, needs.data)
    try:
        free = machine.free_bytes(machine.path(place))
    except OSError:
        return wrong(
            name, f"{place} cannot be looked at", "nothing can be stored", f"df -h {place}", needed=True
        )
    found = f"{free / 1e9:.1f} GB free at {needs.data}"
    if free >= LEAST_FREE_BYTES:
        return ok(name, found)
    command = f"sudo du -xh --max-depth=2 {place} | sort -h | tail -20"
    if free < LEAST_FREE_BYTES // 20:
        return wrong(name, found, "even alarms can hardly be stored", command, needed=True)
    return wrong(name, found, "clips of events are given up below 2 GB", command)


def file_system(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the file system, which must survive a power cut and support SQLite's write-ahead log."""
    name = "file system"
    mount = mount_of(machine, needs.data)
    if mount is None:
        return ok(name, "not stated by the kernel")
    device, at, kind, options = mount
    found = f"{kind} on {device}, mounted at {at}"
    if "ro" in options:
        remount = f"sudo mount -o remount,rw {at}"
        means = "read-only, as Linux makes it after errors: nothing can be stored"
        return wrong(name, found, means, f"dmesg | grep -i 'error' | tail; {remount}", needed=True)
    elsewhere = "put store.directory of the configuration on ext4"
    if kind in _VOLATILE:
        return wrong(name, found, "all data is lost when the power fails", elsewhere, needed=needs.configured)
    if kind in _ON_THE_NETWORK:
        return wrong(
            name, found, "the store's write-ahead log does not work over a network", elsewhere, needed=True
        )
    if kind in _WITHOUT_JOURNAL:
        return wrong(name, found, "has no journal: a power cut may cost all of it", elsewhere)
    return ok(name, found)


def _nearest(machine: Machine, path: PurePosixPath) -> PurePosixPath:
    """The directory, or the nearest above it that exists."""
    while not machine.exists(path) and path != path.parent:
        path = path.parent
    return path


def mount_of(machine: Machine, path: PurePosixPath) -> tuple[str, str, str, list[str]] | None:
    """Device, place, kind and options of the mount that ``path`` is on: the last of those with the longest place."""
    best: tuple[str, str, str, list[str]] | None = None
    for line in machine.text("/proc/mounts").splitlines():
        fields = line.split()
        if len(fields) < 4:
            continue
        at = re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), fields[1])
        if path.is_relative_to(at) and (best is None or len(at) >= len(best[1])):
            best = fields[0], at, fields[2], fields[3].split(",")
    return best


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
