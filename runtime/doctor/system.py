"""Probes of the system: the permissions of the service's user, the clock and the log, which must be right on a
device that is left alone for months.
"""

from __future__ import annotations

import re
from pathlib import Path

from tremorscope.runtime.doctor.board import is_jetson
from tremorscope.runtime.doctor.probe import Machine, Needs, ProbeFinding, not_needed, ok, wrong

SERVICE_USER = "tremorscope"
_GPU_NODES = (
    "/dev/nvmap",
    "/dev/nvhost-ctrl-gpu",
    "/dev/nvgpu/igpu0/ctrl",
    "/dev/nvidiactl",
    "/dev/dri/renderD128",
)
_UNIT_PLACES = ("/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system")
_JTOP_SOCKET = "/run/jtop.sock"


def groups(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of the membership of the service's user, or else of this one, in the groups that own cameras and GPU."""
    name = "groups"
    wanted = [group for group in ("video", "render") if group_id(machine, group) is not None]
    if not (is_jetson(machine) or needs.camera in ("csi", "v4l2")) or not wanted:
        return not_needed(name, "no device has to be opened")
    if _has_service_user(machine):
        user = SERVICE_USER
        lacking = [group for group in wanted if not _is_member(machine, user, group)]
    elif machine.user_id == 0:
        return ok(name, "root, who may do everything")
    else:
        user = "$USER"
        lacking = [group for group in wanted if group_id(machine, group) not in machine.group_ids]
    who = "this user" if user == "$USER" else f"user {user}"
    if not lacking:
        return ok(name, f"{who} is in {', '.join(wanted)}")
    return wrong(
        name,
        f"{who} is not in {', '.join(lacking)}",
        "camera and GPU cannot be opened; a change holds from the next login on",
        f"sudo usermod -aG {','.join(lacking)} {user}",
        needed=True,
    )


def devices(machine: Machine, needs: Needs) -> ProbeFinding:
    """Probe of this user's access to the devices of GPU and cameras."""
    name = "devices"
    nodes = [node for node in _GPU_NODES if machine.exists(node)] if is_jetson(machine) else []
    if needs.camera == "v4l2" and needs.device is not None:
        nodes += [str(needs.device)] if machine.exists(needs.device) else []
    elif needs.may_want("v4l2"):
        nodes += machine.glob("/dev/video*")
    if not nodes:
        return not_needed(name, "there are none to open")
    closed = [node for node in nodes if not machine.may_use(machine.path(Path(node)))]
    if not closed:
        return ok(name, f"{', '.join(nodes)} may be opened")
    return wrong(
        name,
        f"{', '.join(closed)} may not be opened by this user",
        "the service's own user may be allowed to: see groups",
        f"ls -l {' '.join(closed)}; sudo usermod -aG video,render $USER",
        needed=needs.configured and not _has_service_user(machine),
    )


def jtop(machine: Machine) -> ProbeFinding:
    """Probe of the service user's access to jetson-stats, if that is installed, whose socket belongs to its group."""
    name, unit = "jtop", "jtop.service"
    is_there = any(machine.exists(f"{place}/{unit}") for place in _UNIT_PLACES)
    if not is_there or not _has_service_user(machine):
        return not_needed(name, "power and temperatures are read from the kernel")
    if not _is_member(machine, SERVICE_USER, "jtop"):
        return wrong(
            name,
            f"user {SERVICE_USER} is not in jtop",
            "power and temperatures are read from the kernel instead",
            f"sudo usermod -aG jtop {SERVICE_USER} && sudo systemctl restart 'tremorscope*.service'",
        )
    if not machine.exists(_JTOP_SOCKET):
        means = "power and temperatures are read from the kernel instead"
        return wrong(name, f"{_JTOP_SOCKET} is not there", means, f"sudo systemctl enable --now {unit}")
    return ok(name, "may be asked by the service")


def _has_service_user(machine: Machine) -> bool:
    return any(line.startswith(f"{SERVICE_USER}:") for line in machine.text("/etc/passwd").splitlines())


def _group(machine: Machine, group: str) -> list[str] | None:
    """Name, password, number and members of a group; None if it does not exist."""
    for line in machine.text("/etc/group").splitlines():
        fields = line.split(":")
        if fields[0] == group and len(fields) == 4:
            return fields
    return None


def group_id(machine: Machine, group: str) -> int | None:
    """Number of a group; None if it does not exist."""
    fields = _group(machine, group)
    return int(fields[2]) if fields and fields[2].isdecimal() else None


def _is_member(machine: Machine, user: str, group: str) -> bool:
    fields = _group(machine, group)
    return fields is not None and user in fields[3].split(",")


def clock(machine: Machine) -> ProbeFinding:
    """Probe of the clock's synchronisation by NTP, which alarms, clips and the store need."""
    name, means = "time", "alarms, clips and samples are stored with wrong times"
    said = machine.says("timedatectl", "show", "-p", "NTP", "-p", "NTPSynchronized", "-p", "Timezone")
    if said is not None:
        values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
        if values.get("NTPSynchronized") == "yes":
            return ok(name, f"synchronised, {values.get('Timezone', 'UTC')}")
        if values.get("NTP") == "yes":
            command = "timedatectl timesync-status; ping -c 3 ntp.ubuntu.com"
            return wrong(name, "not synchronised yet: no time server answers", means, command)
        return wrong(
            name, "not synchronised: nobody asks a time server", means, "sudo timedatectl set-ntp true"
        )
    tracking = machine.says("chronyc", "-n", "tracking") or ""
    if re.search(r"^Leap status\s*:\s*Normal", tracking, re.MULTILINE):
        return ok(name, "synchronised by chrony")
    if machine.exists("/run/systemd/timesync/synchronized"):
        return ok(name, "synchronised")
    command = "sudo apt install systemd-timesyncd && sudo timedatectl set-ntp true"
    return wrong(name, "not known to be synchronised", means, command)


def journal(machine: Machine) -> ProbeFinding:
    """Probe of the log's storage, which must be on disk to survive a power cut."""
    name = "log"
    if not machine.exists("/run/systemd/journal") and not machine.exists("/var/log/journal"):
        return ok(name, "no journald here")
    storage = "auto"
    for path in ("/etc/systemd/journald.conf", *machine.glob("/etc/systemd/journald.conf.d/*.conf")):
        stated = re.findall(r"^Storage\s*=\s*(\w+)", machine.text(path), re.MULTILINE)
        storage = stated[-1] if stated else storage
    if storage == "persistent" or (storage == "auto" and machine.exists("/var/log/journal")):
        return ok(name, "kept on disk")
    keep = "sudo mkdir -p /var/log/journal && sudo systemctl restart systemd-journald"
    if storage in ("volatile", "none"):
        keep = f"sudo sed -i 's/^Storage=.*/Storage=persistent/' {_stating(machine)} && {keep}"
    return wrong(name, "kept in memory only", "what came before a power cut is lost", keep)


def _stating(machine: Machine) -> str:
    """The last file that states the storage of the log."""
    paths = ["/etc/systemd/journald.conf", *machine.glob("/etc/systemd/journald.conf.d/*.conf")]
    return [path for path in paths if re.search(r"^Storage\s*=", machine.text(path), re.MULTILINE)][-1]
