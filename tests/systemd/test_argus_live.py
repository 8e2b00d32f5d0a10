"""Two cameras on the CSI connector and one daemon behind both, under a real systemd: the units as they are shipped.

The service is the real one; its camera and the daemon are stand-ins (argus_service.py, argus_daemon.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from booted import PYTHON, Machine, boot_or_skip, wait_until
from support import ROOT

SYSTEMD = ROOT / "systemd"
NAMES = ("north", "south")
UNITS = [f"tremorscope@{name}.service" for name in NAMES]
DAEMON = "nvargus-daemon.service"
BACK_WITHIN_S = 45.0
DAEMON_UNIT = """[Service]
ExecStart=/usr/sbin/nvargus-daemon
Restart=on-failure
RestartSec=4
"""
STAND_IN = f"""[Service]
ExecStart=
ExecStart={PYTHON} -I -X faulthandler /srv/source/tests/systemd/argus_service.py /etc/tremorscope/%i.yaml
"""
CONFIGURATION = """version: 1
name: {name}
camera: {{kind: csi, sensor_id: {sensor_id}, width_px: 64, height_px: 48, rate_hz: 30}}
magnification: {{when: never}}
recording: {{magnified: false}}
outputs: {{http: {{enabled: false}}}}
"""


@pytest.fixture(scope="module")
def machine(gstreamer_or_skip: None) -> Iterator[Machine]:  # noqa: ARG001
    with boot_or_skip() as machine:
        for path in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.path")):
            machine.write(f"/usr/local/lib/systemd/system/{path.name}", path.read_text())
        machine.write("/etc/sysusers.d/tremorscope.conf", (SYSTEMD / "tremorscope.sysusers").read_text())
        machine.write("/etc/tmpfiles.d/tremorscope.conf", (SYSTEMD / "tremorscope.tmpfiles").read_text())
        machine.run("systemd-sysusers", "tremorscope.conf")
        machine.run("systemd-tmpfiles", "--create", "tremorscope.conf")
        daemon = f"#!/bin/sh\nexec {PYTHON} -I /srv/source/tests/systemd/argus_daemon.py\n"
        machine.write("/usr/sbin/nvargus-daemon", daemon, "0755")
        machine.write(f"/etc/systemd/system/{DAEMON}", DAEMON_UNIT)
        machine.write("/etc/systemd/system/tremorscope@.service.d/stand-in.conf", STAND_IN)
        for number, name in enumerate(NAMES):
            machine.write(f"/etc/tremorscope/{name}.yaml", CONFIGURATION.format(name=name, sensor_id=number))
        machine.systemctl("daemon-reload")
        machine.systemctl("start", "tremorscope-restart-argus.path")
        yield machine


@pytest.fixture(scope="module")
def gstreamer_or_skip() -> None:
    pytest.importorskip("gi", reason="needs gstreamer: PyGObject")


def daemon_starts(machine: Machine) -> int:
    return machine.journal("-u", DAEMON).count("listening")


def came_up(machine: Machine, unit: str, restarts: int) -> bool:
    properties = machine.systemctl("show", "-p", "ActiveState,NRestarts", unit).split()
    return set(properties) == {"ActiveState=active", f"NRestarts={restarts}"}


@pytest.fixture(scope="module")
def filming(machine: Machine) -> Machine:
    """The machine with both cameras, whose processes have waited for the daemon."""
    machine.systemctl("start", "--no-block", *UNITS)
    wait_until(lambda: all(machine.show(unit, "SubState") == "start-pre" for unit in UNITS), "them to wait")
    machine.systemctl("start", DAEMON)
    for unit in UNITS:
        wait_until(lambda unit=unit: came_up(machine, unit, 0), f"{unit} to have frames", timeout_s=120)
    return machine


@pytest.mark.alone
def test_one_wedge_makes_one_restart_of_the_daemon_and_both_cameras_are_back_in_time(
    filming: Machine,
) -> None:
    machine = filming
    assert daemon_starts(machine) == 1
    began_s = time.monotonic()
    machine.systemctl("kill", "--kill-who=main", "-s", "USR1", DAEMON)
    for unit in UNITS:
        wait_until(lambda unit=unit: came_up(machine, unit, 1), f"{unit} to have frames again", timeout_s=150)
    took_s = time.monotonic() - began_s
    journal = machine.journal("-t", "tremorscope")
    assert daemon_starts(machine) == 2
    assert journal.count("nvargus-daemon was restarted\n") == 1
    assert "only a new process sees frames" in journal or "by another instance meanwhile" in journal
    for unit in UNITS:
        assert machine.show(unit, "ExecMainStatus") == "0"
    assert took_s < BACK_WITHIN_S
