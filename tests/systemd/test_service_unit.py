"""The units under a real systemd: ready, watchdog, restarts and their limits, reload, stop, requests, confinement.

The service is a small one around our own notifier, watchdog and ladder (small_service.py); everything else is the
units as they are shipped, with shorter times.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from booted import PYTHON, Machine, boot_or_skip, wait_until
from support import ROOT

SYSTEMD = ROOT / "systemd"
SERVICE = "tremorscope.service"
NVARGUS = """[Service]
ExecStart=/bin/sleep infinity
"""
SHORT = f"""[Service]
ExecStart=
ExecStart={PYTHON} -I -X faulthandler /srv/source/tests/systemd/small_service.py
WatchdogSec=2
RestartSec=0.2
TimeoutAbortSec=3
TimeoutStopSec=5
[Unit]
StartLimitIntervalSec=60
StartLimitBurst=4
"""


@pytest.fixture(scope="module")
def booted() -> Iterator[Machine]:
    with boot_or_skip() as machine:
        for path in (*SYSTEMD.glob("*.service"), *SYSTEMD.glob("*.path"), *SYSTEMD.glob("*.timer")):
            machine.write(f"/usr/local/lib/systemd/system/{path.name}", path.read_text())
        machine.write("/etc/sysusers.d/tremorscope.conf", (SYSTEMD / "tremorscope.sysusers").read_text())
        machine.write("/etc/tmpfiles.d/tremorscope.conf", (SYSTEMD / "tremorscope.tmpfiles").read_text())
        machine.write(
            "/opt/tremorscope/current/systemd/revive.sh", (SYSTEMD / "revive.sh").read_text(), "0755"
        )
        machine.run("mkdir", "-p", "/etc/tremorscope")
        machine.run("systemd-sysusers", "tremorscope.conf")
        machine.run("systemd-tmpfiles", "--create", "tremorscope.conf")
        for unit in ("tremorscope.service", "tremorscope@.service"):
            machine.write(f"/etc/systemd/system/{unit}.d/short.conf", SHORT)
        machine.write("/etc/systemd/system/nvargus-daemon.service", NVARGUS)
        machine.systemctl("daemon-reload")
        yield machine


@pytest.fixture
def machine(booted: Machine) -> Iterator[Machine]:
    """The machine with nothing of ours running or remembered."""
    yield booted
    leftovers = "/var/lib/tremorscope/* /run/tremorscope-requests/* /run/systemd/system/*.d/zz-*"
    booted.run("sh", "-c", f"systemctl stop 'tremorscope*' nvargus-daemon; rm -rf {leftovers}", check=False)
    booted.run("sh", "-c", "systemctl reset-failed; systemctl daemon-reload")


def with_settings(machine: Machine, settings: str) -> None:
    """Change the unit until the end of the test."""
    machine.write(f"/run/systemd/system/{SERVICE}.d/zz-test.conf", f"[Service]\n{settings}\n")
    machine.systemctl("daemon-reload")


def state(machine: Machine, unit: str = SERVICE) -> str:
    return machine.show(unit, "ActiveState")


def test_it_is_ready_with_the_first_frame_and_says_how_it_stands(machine: Machine) -> None:
    machine.run("mkdir", "-p", "/var/lib/tremorscope/main")
    machine.run("touch", "/var/lib/tremorscope/main/frozen")
    machine.systemctl("start", "--no-block", SERVICE)
    wait_until(lambda: machine.show(SERVICE, "MainPID") != "0", "the process to start")
    assert state(machine) == "activating"
    machine.run("rm", "/var/lib/tremorscope/main/frozen")
    wait_until(lambda: state(machine) == "active", "the service to be ready")
    assert machine.show(SERVICE, "StatusText") == "50 frames/s"


def test_a_frozen_camera_in_a_living_process_starves_the_watchdog(machine: Machine) -> None:
    machine.systemctl("start", SERVICE)
    before = machine.show(SERVICE, "MainPID")
    machine.run("touch", "/var/lib/tremorscope/main/frozen")
    wait_until(lambda: machine.show(SERVICE, "NRestarts") == "1", "the watchdog to strike")
    machine.run("rm", "/var/lib/tremorscope/main/frozen")
    wait_until(lambda: state(machine) == "active", "the service to be back")
    assert machine.show(SERVICE, "MainPID") != before
    log = machine.journal("-u", SERVICE)
    assert "Watchdog timeout" in log
    assert "Fatal Python error: Aborted" in log  # with the stacks of all threads
    assert "small_service.py" in log


def test_frames_keep_the_watchdog_quiet(machine: Machine) -> None:
    machine.systemctl("start", SERVICE)
    before = machine.show(SERVICE, "MainPID")
    machine.run("sleep", "4")
    assert machine.show(SERVICE, "MainPID") == before


def test_starts_that_fail_are_given_up_and_revived_later(machine: Machine) -> None:
    machine.systemctl("enable", SERVICE)
    machine.run("mkdir", "-p", "/var/lib/tremorscope/main")
    machine.run("touch", "/var/lib/tremorscope/main/crash")
    machine.systemctl("start", "--no-block", SERVICE)
    wait_until(lambda: state(machine) == "failed", "the restarts to be used up")
    assert machine.show(SERVICE, "NRestarts") == "4"
    assert machine.show(SERVICE, "Result") == "exit-code"
    machine.run("rm", "/var/lib/tremorscope/main/crash")
    machine.systemctl("start", "tremorscope-revive.service")
    wait_until(lambda: state(machine) == "active", "the service to be revived")


def test_what_was_stopped_by_hand_or_is_not_enabled_is_not_revived(machine: Machine) -> None:
    machine.systemctl("enable", SERVICE)
    machine.systemctl("start", SERVICE)
    machine.systemctl("stop", SERVICE)
    machine.systemctl("start", "tremorscope-revive.service")
    assert state(machine) == "inactive"


def test_a_configuration_that_cannot_be_followed_is_not_tried_again(machine: Machine) -> None:
    machine.run("mkdir", "-p", "/var/lib/tremorscope/main")
    machine.run("touch", "/var/lib/tremorscope/main/wrong")
    machine.systemctl("start", SERVICE, check=False)
    wait_until(lambda: state(machine) == "failed", "the service to fail")
    assert machine.show(SERVICE, "NRestarts") == "0"
    assert machine.show(SERVICE, "ExecMainStatus") == "78"


def test_the_ladder_restarts_the_camera_daemon_and_then_the_service(machine: Machine) -> None:
    with_settings(machine, "WatchdogSec=60")  # the ladder comes first
    machine.systemctl("start", "nvargus-daemon", "tremorscope-restart-argus.path", SERVICE)
    argus, service = machine.show("nvargus-daemon", "MainPID"), machine.show(SERVICE, "MainPID")
    machine.run("touch", "/var/lib/tremorscope/main/away")
    wait_until(lambda: int(machine.show(SERVICE, "NRestarts")) >= 1, "the ladder to ask for a fresh process")
    machine.run("rm", "/var/lib/tremorscope/main/away")
    wait_until(lambda: state(machine) == "active", "the service to be back")
    assert machine.show(SERVICE, "MainPID") != service
    assert machine.show("nvargus-daemon", "MainPID") not in (argus, "0")
    assert state(machine, "nvargus-daemon") == "active"
    assert machine.run("ls", "/run/tremorscope-requests").stdout.split() == ["argus.json", "argus.lock"]
    rungs = machine.journal(
        "-t", "tremorscope", "--output-fields=TREMORSCOPE_RUNG", "TREMORSCOPE_RUNG=restart_argus"
    )
    assert "restart_argus" in rungs
    log = machine.journal("-u", SERVICE)
    assert "nvargus-daemon was restarted" in log
    assert log.index("opening the camera anew") < log.index("restarting nvargus-daemon")


def test_a_changed_configuration_is_taken_over_without_a_restart(machine: Machine) -> None:
    machine.systemctl("start", SERVICE)
    before = machine.show(SERVICE, "MainPID")
    machine.systemctl("reload", SERVICE)
    wait_until(lambda: machine.show(SERVICE, "StatusText").endswith("reloaded"), "the reload")
    assert machine.show(SERVICE, "MainPID") == before
    assert state(machine) == "active"


@pytest.mark.parametrize(("takes_s", "finished"), [(1, True), (60, False)])
def test_stopping_waits_for_what_is_being_finished_but_not_for_ever(
    machine: Machine, takes_s: int, finished: bool
) -> None:
    with_settings(machine, f"Environment=STOP_TAKES_S={takes_s}")
    machine.systemctl("start", SERVICE)
    machine.systemctl("stop", SERVICE)
    assert state(machine) == ("inactive" if finished else "failed")
    done = machine.run("test", "-e", "/var/lib/tremorscope/main/finished", check=False).returncode == 0
    assert done is finished


def test_two_cameras_run_side_by_side_and_apart(machine: Machine) -> None:
    machine.systemctl("start", "tremorscope@north.service", "tremorscope@south.service")
    machine.run("touch", "/var/lib/tremorscope/north/frozen")
    south = machine.show("tremorscope@south.service", "MainPID")
    wait_until(
        lambda: machine.show("tremorscope@north.service", "NRestarts") == "1", "the north to be restarted"
    )
    assert machine.show("tremorscope@south.service", "MainPID") == south
    environment = json.loads(machine.read("/var/lib/tremorscope/south/environment.json"))
    assert environment["STATE_DIRECTORY"] == "/var/lib/tremorscope/south"
    assert environment["TREMORSCOPE_RECOVERY_FILE"] == "/var/lib/tremorscope/recovery.json"


def look_around(machine: Machine, more: str = "") -> dict[str, Any]:
    """What a process sees that runs as the service does."""
    machine.write(
        "/run/systemd/system/tremorscope@around.service.d/zz-around.conf",
        f"[Service]\nType=simple\nWatchdogSec=0\nRestart=no\nExecStart=\n"
        f"ExecStart={PYTHON} -I /srv/source/tests/systemd/small_service.py --look-around\n{more}",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "tremorscope@around.service")
    wait_until(lambda: state(machine, "tremorscope@around.service") == "inactive", "the process to end")
    around: dict[str, Any] = json.loads(machine.read("/var/lib/tremorscope/around/around.json"))
    return around


def test_the_service_is_confined_to_what_it_needs(machine: Machine) -> None:
    user, video, render = (
        int(machine.run("getent", *query).stdout.split(":")[2])
        for query in (("passwd", "tremorscope"), ("group", "video"), ("group", "render"))
    )
    around = look_around(machine)
    assert {video, render} < set(around.pop("groups"))
    around.pop("telemetry")
    assert around == {
        "credentials": {}, "uid": user, "capabilities": 0,
        "etc": False, "opt": False, "state": True, "tmp": True, "sysctl": False, "home": False,
        "requests": True, "cwd": "/var/lib/tremorscope/around",
    }  # fmt: skip


def test_the_group_of_jetson_stats_reaches_the_service_and_is_not_missed_when_it_goes(
    machine: Machine,
) -> None:
    """As install.sh writes it; a group that the unit names itself keeps it from starting once it is gone."""
    machine.write("/etc/sysusers.d/tremorscope-jtop.conf", "m tremorscope jtop\n")
    machine.run("systemd-sysusers", "tremorscope-jtop.conf")
    jtop = int(machine.run("getent", "group", "jtop").stdout.split(":")[2])
    assert jtop in look_around(machine)["groups"]
    machine.run("groupdel", "jtop")
    assert jtop not in look_around(machine)["groups"]
    with_settings(machine, "SupplementaryGroups=jtop\nRestart=no")
    machine.systemctl("start", SERVICE, check=False)
    assert machine.show(SERVICE, "ExecMainStatus") == "216"


def test_secrets_reach_the_service_and_not_its_environment(machine: Machine) -> None:
    machine.write("/etc/tremorscope/credentials/mqtt-password", "a secret\n", "0600")
    line = "LoadCredential=mqtt-password:/etc/tremorscope/credentials/mqtt-password\n"
    assert look_around(machine, line)["credentials"] == {"mqtt-password": "a secret\n"}


def test_displays_are_kept_from_the_service(machine: Machine) -> None:
    machine.systemctl("set-environment", "DISPLAY=:0", "WAYLAND_DISPLAY=wayland-0")
    machine.systemctl("start", SERVICE)
    machine.systemctl("unset-environment", "DISPLAY", "WAYLAND_DISPLAY")
    environment = json.loads(machine.read("/var/lib/tremorscope/main/environment.json"))
    assert "INVOCATION_ID" in environment
    assert not {"DISPLAY", "WAYLAND_DISPLAY"} & environment.keys()


ARGUS_SOCKET = """import os, signal, socket
argus = socket.socket(socket.AF_UNIX)
argus.bind("/tmp/argus_socket")
os.chmod("/tmp/argus_socket", 0o777)
argus.listen()
signal.pause()
"""
DEVICE_NODES = {"nvmap": "video", "dri/renderD128": "render"}


def test_the_gpus_driver_and_argus_get_what_they_ask_for_and_no_more(machine: Machine) -> None:
    """Each attempt as the service and, for comparison, as its user outside of its unit."""
    machine.write("/run/argus_socket.py", ARGUS_SOCKET)
    machine.run("systemd-run", "--unit=argus-socket", PYTHON, "/run/argus_socket.py")
    wait_until(lambda: machine.run("test", "-S", "/tmp/argus_socket", check=False).returncode == 0, "argus")
    machine.run("mkdir", "-p", "/dev/dri")
    for node, group in DEVICE_NODES.items():
        machine.write(f"/dev/{node}", "", "0660")
        machine.run("chgrp", group, f"/dev/{node}")
    program = f"{PYTHON} -I /srv/source/tests/systemd/driver_calls.py"
    machine.write(
        "/run/systemd/system/tremorscope@drivers.service.d/zz-drivers.conf",
        "[Service]\nType=simple\nWatchdogSec=0\nRestart=no\nExecStart=\n"
        f"ExecStart={program} /var/lib/tremorscope/drivers/result.json\n",
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", "tremorscope@drivers.service")
    wait_until(lambda: state(machine, "tremorscope@drivers.service") == "inactive", "the program to end")
    confined = json.loads(machine.read("/var/lib/tremorscope/drivers/result.json"))
    machine.run(*program.split(), "/tmp/result.json", user="tremorscope")
    free = json.loads(machine.read("/tmp/result.json"))
    refused = {"pidfd_getfd", "perf_event_open", "a setting of the kernel", "real-time scheduling"}
    assert {name for name, came in confined.items() if came != "ok"} == refused
    assert {name: confined[name] for name in refused} == {
        "pidfd_getfd": "EPERM", "perf_event_open": "EPERM", "a setting of the kernel": "EROFS",
        "real-time scheduling": "EPERM",
    }  # fmt: skip
    # By the unit's filter, not for want of something to ask for.
    assert (free["pidfd_getfd"], free["perf_event_open"]) == ("ok", "EFAULT")
    machine.systemctl("stop", "argus-socket.service")


JTOP_SOCKET = """
import os, shutil, socket
socket.socket(socket.AF_UNIX).bind("/run/jtop.sock")
shutil.chown("/run/jtop.sock", "root", "jtop")
os.chmod("/run/jtop.sock", 0o660)
"""


def test_what_the_device_measures_can_be_read_in_the_services_confinement(machine: Machine) -> None:
    """And jtop's socket, which belongs to a group, by who is given that group; nobody listens at this one."""
    machine.run("groupadd", "--system", "--force", "jtop")
    machine.run(PYTHON, "-c", JTOP_SOCKET)
    try:
        alone = look_around(machine)["telemetry"]
        known = {"cpu_cores", "cpu_load_ratio", "memory_total_bytes", "memory_used_bytes", "swap_total_bytes"}
        assert known <= set(alone["known"])
        assert alone["connected"] == "Permission denied"
        assert "add it to the group jtop" in alone["note"]
        member = look_around(machine, "SupplementaryGroups=jtop\n")["telemetry"]
        assert member["connected"] == "Connection refused"
        assert "add it to the group" not in member["note"]
    finally:
        machine.run("rm", "/run/jtop.sock")
