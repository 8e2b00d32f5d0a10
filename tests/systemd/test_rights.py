"""The rights that the service is given: by polkit's rules, with a real polkit and a real D-Bus, and nothing beyond."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from booted import Machine, boot_or_skip, wait_until
from support import ROOT

SYSTEMD = ROOT / "systemd"


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with boot_or_skip() as machine:
        if machine.systemctl("is-active", "dbus.socket", check=False) != "active":
            pytest.skip("needs polkit and dbus")
        machine.write("/etc/sysusers.d/tremorscope.conf", (SYSTEMD / "tremorscope.sysusers").read_text())
        machine.run("systemd-sysusers", "tremorscope.conf")
        machine.run("mkdir", "-p", "/etc/polkit-1/rules.d")
        rules = "50-tremorscope.rules"
        machine.write(f"/etc/polkit-1/rules.d/{rules}", (SYSTEMD / rules).read_text())
        for unit in ("nvargus-daemon", "other"):
            machine.write(f"/etc/systemd/system/{unit}.service", "[Service]\nExecStart=/bin/sleep infinity\n")
        machine.systemctl("daemon-reload")
        machine.systemctl("start", "nvargus-daemon", "other")
        if (
            machine.systemctl("start", "polkit", check=False)
            or machine.show("polkit", "ActiveState") != "active"
        ):
            pytest.skip("needs polkit and dbus")
        yield machine


def attempt(machine: Machine, *arguments: str, user: str = "tremorscope") -> str:
    done = machine.run("systemctl", "--no-ask-password", *arguments, user=user, check=False)
    return "done" if done.returncode == 0 else done.stderr


def test_the_service_may_restart_the_camera_daemon(machine: Machine) -> None:
    before = machine.show("nvargus-daemon", "MainPID")
    assert attempt(machine, "restart", "nvargus-daemon.service") == "done"
    wait_until(
        lambda: machine.show("nvargus-daemon", "MainPID") not in (before, "0"), "the daemon to be back"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        ("stop", "nvargus-daemon.service"),
        ("kill", "nvargus-daemon.service"),
        ("restart", "other.service"),
        ("start", "other.service"),
        ("reboot",),
        ("mask", "nvargus-daemon.service"),
        ("daemon-reload",),
    ],
    ids=" ".join,
)
def test_the_service_may_do_nothing_else(machine: Machine, arguments: tuple[str, ...]) -> None:
    denied = attempt(machine, *arguments)
    assert (
        "authentication required" in denied or "Access denied" in denied or "Permission denied" in denied
    ), denied
    assert machine.show("nvargus-daemon", "ActiveState") == "active"


def test_nobody_else_may_restart_the_camera_daemon(machine: Machine) -> None:
    assert "authentication required" in attempt(machine, "restart", "nvargus-daemon.service", user="daemon")
