"""Probes of the disk of store and clips, and of its file system."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from tremorscope.runtime.doctor.finding import ProbeFinding, ok, wrong
from tremorscope.runtime.doctor.machine import Machine
from tremorscope.runtime.doctor.needs import Needs
from tremorscope.runtime.store.settings import DiskSettings

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
