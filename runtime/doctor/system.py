"""Probes of the clock and of the log, which must be right on a device that is left alone for months."""

from __future__ import annotations

import re

from tremorscope.runtime.doctor.finding import ProbeFinding, ok, wrong
from tremorscope.runtime.doctor.machine import Machine


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
