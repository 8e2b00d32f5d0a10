"""The service itself, installed by the scripts on a machine with a real systemd: from installing to purging."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from booted import PYTHON, Machine, boot_or_skip, build_wheel, changed_wheel, wait_until

SERVICE = "tremorscope.service"
STATE = "/var/lib/tremorscope"
START_S = 120.0
"""Most time for a start on a busy machine."""

CONFIGURATION = """version: 1
name: {name}
camera: {{kind: synthetic, width_px: 320, height_px: 180, rate_hz: 25}}
magnification: {{when: never}}
vibration:
  regions:
    - {{name: deck, x_px: 140, y_px: 96, width_px: 40, height_px: 16}}
recording: {{magnified: false, pre_roll_s: 1, post_roll_s: 2}}
outputs:
  http: {{port: {port}}}
store:
  disk: {{previews_below_gb: 0.03, clips_below_gb: 0.02, series_below_gb: 0.01}}
"""

LOOK_AT_STORE = """
import glob, json, sqlite3, sys
sys.path.append("/srv/libraries")
import av
database = sqlite3.connect(sys.argv[1] + "/tremorscope.db")
clips = {}
for path in glob.glob(sys.argv[1] + "/clips/*.mp4"):
    with av.open(path) as container:
        clips[path.rpartition("/")[2]] = sum(1 for _ in container.decode(video=0))
print(json.dumps({
    "integrity": database.execute("PRAGMA integrity_check").fetchone()[0],
    "tables": sorted(name for name, in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")),
    "clips": clips,
}))
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    disk = tmp_path_factory.mktemp("disk")
    root = disk / "changes" / "root"  # as the machine will see it
    root.mkdir(parents=True)
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    module = "tremorscope/runtime/service/running.py"
    changed_wheel(wheel, root / "first", {})
    changed_wheel(wheel, root / "second", {module: b"# second\n"})
    changed_wheel(wheel, root / "broken", {module: b"raise SystemExit(1)\n"})
    (root / "main.yaml").write_text(CONFIGURATION.format(name="main", port=8081))
    (root / "store.py").write_text(LOOK_AT_STORE)
    with boot_or_skip(disk) as machine:
        done = install(machine, "first", "--config", "/root/main.yaml")
        assert done.stdout.endswith("done: release " + release(machine) + "\n")
        yield machine


def install(
    machine: Machine, wheel: str, *options: str, script: str = "install", check: bool = True
) -> subprocess.CompletedProcess[str]:
    path = machine.run("sh", "-c", f"echo /root/{wheel}/*.whl").stdout.strip()
    command = (
        f"/srv/source/systemd/{script}.sh",
        "--wheel",
        path,
        "--libraries",
        "/srv/libraries",
        "--python",
        PYTHON,
    )
    return machine.run(*command, *options, check=check, timeout_s=300)


def release(machine: Machine, link: str = "current") -> str:
    return machine.run("readlink", f"/opt/tremorscope/{link}").stdout.strip().removeprefix("releases/")


def is_active(machine: Machine, unit: str = SERVICE) -> bool:
    return machine.show(unit, "ActiveState") == "active"


def wait_for_frames(machine: Machine) -> None:
    wait_until(lambda: is_active(machine), f"{SERVICE} to be ready", timeout_s=START_S)


def look_at_store(machine: Machine, instance: str = "main") -> dict[str, Any]:
    looked: dict[str, Any] = json.loads(machine.run(PYTHON, "/root/store.py", f"{STATE}/{instance}").stdout)
    return looked


def record_clip(machine: Machine) -> None:
    """Begin a clip, and wait until it is being written."""
    before = machine.run("ls", f"{STATE}/main/clips").stdout
    machine.systemctl("kill", "--kill-who=main", "-s", "USR1", SERVICE)
    wait_until(
        lambda: machine.run("ls", "-A", f"{STATE}/main/clips").stdout != before, "a clip", timeout_s=30
    )


def test_it_runs_as_a_user_of_its_own_and_is_enabled(machine: Machine) -> None:
    assert is_active(machine)
    assert machine.systemctl("is-enabled", SERVICE) == "enabled"
    pid = machine.show(SERVICE, "MainPID")
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").stdout == "tremorscope\n"
    assert machine.run("stat", "-c", "%U %a", f"{STATE}/main").stdout == "tremorscope 750\n"
    assert "running" in machine.show(SERVICE, "StatusText")
    ask = "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:8081/healthz').status)"
    assert machine.run(PYTHON, "-c", ask).stdout == "200\n"


def test_installing_again_changes_nothing(machine: Machine) -> None:
    def files() -> str:
        return machine.run("find", "/opt", "/etc", "/usr/local", "-xdev", "-not", "-name", "*.pyc", "-type", "f",
                           "-printf", "%p %m %u %s %T@\\n").stdout  # fmt: skip

    before, pid = files(), machine.show(SERVICE, "MainPID")
    said = install(machine, "first", "--config", "/root/main.yaml", "--ignore-doctor").stdout
    assert files() == before
    assert machine.show(SERVICE, "MainPID") == pid
    assert not [line for line in said.splitlines() if line.startswith(("+", "-"))]


def test_a_changed_configuration_is_taken_over_and_a_wrong_one_is_refused(machine: Machine) -> None:
    pid = machine.show(SERVICE, "MainPID")
    machine.run("sed", "-i", "s/x_px: 140/x_px: 120/", "/etc/tremorscope/config.yaml")
    machine.systemctl("reload", SERVICE)
    wait_until(lambda: "regions" in machine.journal("-u", SERVICE), "the change to be told")
    machine.run("sed", "-i", "s/x_px: 120/x_pix: 120/", "/etc/tremorscope/config.yaml")
    machine.systemctl("reload", SERVICE)
    wait_until(lambda: "x_pix" in machine.journal("-u", SERVICE), "the refusal to be told")
    machine.run("sed", "-i", "s/x_pix: 120/x_px: 140/", "/etc/tremorscope/config.yaml")
    assert machine.show(SERVICE, "MainPID") == pid
    assert is_active(machine)


def test_a_calibration_capture_borrows_the_camera_until_its_set_is_complete(machine: Machine) -> None:
    capture, pid = "tremorscope-calibration-capture.service", machine.show(SERVICE, "MainPID")
    machine.write(
        f"{STATE}/calibration/manifest.json", '{\n "wanted": 256,\n "complete": true,\n "count": 256\n}'
    )
    machine.systemctl("start", capture)
    assert "exec-condition" in machine.journal("-u", capture)
    assert machine.show(SERVICE, "MainPID") == pid
    machine.run("rm", "-r", f"{STATE}/calibration")
    machine.systemctl("start", capture)
    assert machine.show(capture, "Result") == "success"
    assert json.loads(machine.read(f"{STATE}/calibration/manifest.json"))["count"] == 1
    wait_for_frames(machine)
    assert machine.show(SERVICE, "MainPID") != pid


def test_the_device_is_proved_in_the_services_sandbox_while_the_service_rests(machine: Machine) -> None:
    prove, pid = "tremorscope-prove.service", machine.show(SERVICE, "MainPID")
    machine.write("/etc/tremorscope/prove.env", 'OPTIONS="--quick --load 1"')
    machine.run("systemctl", "start", prove, check=False, timeout_s=300)
    report = json.loads(machine.read(f"{STATE}/prove/prove.json"))
    found = {step["name"]: (step["state"], step["said"], step["output"]) for step in report["steps"]}
    assert {state for state, _, _ in found.values()} <= {"holds", "skipped"}, found
    assert report["holds"] is True
    assert machine.show(prove, "Result") == "success"
    assert machine.run("stat", "-c", "%U %a", f"{STATE}/prove/prove.html").stdout == "tremorscope 640\n"
    assert "holds    camera" in machine.journal("-u", prove)
    wait_for_frames(machine)
    assert machine.show(SERVICE, "MainPID") not in (pid, "0")


def test_stopping_completes_the_clip_that_is_being_written_within_ten_seconds(machine: Machine) -> None:
    record_clip(machine)
    began_s = time.monotonic()
    machine.systemctl("stop", SERVICE)
    assert time.monotonic() - began_s < 10
    assert machine.show(SERVICE, "Result") == "success"
    store = look_at_store(machine)
    assert store["integrity"] == "ok"
    assert len(store["clips"]) == 1
    assert min(store["clips"].values()) > 0


def test_a_process_that_hangs_is_killed_and_started_again(machine: Machine) -> None:
    machine.write(
        f"/run/systemd/system/{SERVICE}.d/short.conf", "[Service]\nWatchdogSec=3\nTimeoutAbortSec=1\n"
    )
    machine.systemctl("daemon-reload")
    machine.systemctl("start", SERVICE)
    pid = machine.show(SERVICE, "MainPID")
    machine.systemctl("kill", "--kill-who=main", "-s", "STOP", SERVICE)
    wait_until(lambda: machine.show(SERVICE, "NRestarts") == "1", "the watchdog")
    machine.run("rm", f"/run/systemd/system/{SERVICE}.d/short.conf")
    machine.systemctl("daemon-reload")
    wait_for_frames(machine)
    assert machine.show(SERVICE, "MainPID") != pid


def test_after_a_power_cut_in_the_midst_of_a_clip_it_starts_by_itself_with_everything_whole(
    machine: Machine,
) -> None:
    whole = look_at_store(machine)["clips"]
    record_clip(machine)
    machine.cut_power()
    wait_for_frames(machine)
    store = look_at_store(machine)
    assert store["integrity"] == "ok"
    assert whole.items() <= store["clips"].items()
    for frames in store["clips"].values():
        assert frames > 0
    record_clip(machine)  # and it goes on recording
    wait_until(lambda: len(look_at_store(machine)["clips"]) > len(store["clips"]), "a clip")


def test_two_cameras_run_side_by_side(machine: Machine) -> None:
    units = [f"tremorscope@{name}.service" for name in ("north", "south")]
    for number, name in enumerate(("north", "south")):
        machine.write(f"/etc/tremorscope/{name}.yaml", CONFIGURATION.format(name=name, port=8082 + number))
    install(machine, "first", "--instance", "north", "--instance", "south", "--no-start", "--ignore-doctor")
    machine.systemctl("start", *units)
    assert [is_active(machine, unit) for unit in (SERVICE, *units)] == [True, True, True]
    for name in ("north", "south"):
        assert look_at_store(machine, name)["integrity"] == "ok"
    machine.systemctl("disable", "--now", *units)


def test_an_upgrade_keeps_the_release_before_and_a_rollback_returns_to_it(machine: Machine) -> None:
    before = release(machine)
    install(machine, "second", "--ignore-doctor", script="upgrade")
    assert release(machine) != before
    assert release(machine, "previous") == before
    assert is_active(machine)
    machine.run("/opt/tremorscope/current/systemd/upgrade.sh", "--rollback", timeout_s=300)
    assert release(machine) == before
    assert is_active(machine)
    assert look_at_store(machine)["integrity"] == "ok"


def test_an_upgrade_that_gives_no_frames_is_taken_back(machine: Machine) -> None:
    before = release(machine)
    done = install(machine, "broken", "--ignore-doctor", script="upgrade", check=False)
    assert done.returncode == 1
    assert f"gave no frames; {before} runs again" in done.stderr.splitlines()[-1]
    assert release(machine) == before
    kept = machine.run("ls", "/opt/tremorscope/releases").stdout.split()
    assert sorted(kept) == sorted([before, release(machine, "previous")])  # the one before those is gone
    assert is_active(machine)


def test_an_upgrade_that_cannot_follow_the_configuration_changes_nothing(machine: Machine) -> None:
    before, pid = release(machine), machine.show(SERVICE, "MainPID")
    releases = machine.run("ls", "/opt/tremorscope/releases").stdout
    machine.run("rm", "-rf", f"/opt/tremorscope/releases/{release(machine, 'previous')}")
    machine.run("sed", "-i", "s/rate_hz/rate_mhz/", "/etc/tremorscope/config.yaml")
    done = install(machine, "second", script="upgrade", check=False)
    machine.run("sed", "-i", "s/rate_mhz/rate_hz/", "/etc/tremorscope/config.yaml")
    assert done.returncode == 1
    assert "cannot be followed" in done.stderr.splitlines()[-1]
    assert (release(machine), machine.show(SERVICE, "MainPID")) == (before, pid)
    assert machine.run("ls", "/opt/tremorscope/releases").stdout in releases


def test_uninstalling_keeps_configuration_and_data_until_it_is_told_to_purge(machine: Machine) -> None:
    machine.run("cp", "-r", "/opt/tremorscope/current/systemd", "/root/scripts")
    machine.run("/root/scripts/uninstall.sh")
    assert machine.show(SERVICE, "LoadState") == "not-found"
    assert machine.run("test", "-e", "/opt/tremorscope", check=False).returncode == 1
    assert machine.read("/etc/tremorscope/config.yaml").startswith("version: 1")
    assert look_at_store(machine)["integrity"] == "ok"
    machine.run("/root/scripts/uninstall.sh", "--purge")
    found = machine.run(
        "find", "/etc", "/opt", "/usr/local", "/var", "-xdev", "-name", "*tremorscope*"
    ).stdout
    assert found.split() == ["/etc/tremorscope-test"]
    assert machine.run("getent", "passwd", "tremorscope", check=False).returncode != 0
