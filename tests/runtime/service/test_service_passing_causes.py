"""What may pass does not end the service for good, and never keeps it from measuring."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from running_service import frames, running, until
from service_parts import SMALL, configured
from support import command_line, run_command

from tremorscope.runtime.service.process import Service
from tremorscope.runtime.service.recovery import EXIT_CONFIGURATION, EXIT_RECOVERY


def written(path: Path, **sections: Any) -> Path:
    path.write_text(yaml.safe_dump({"version": 1, "camera": SMALL} | sections))
    return path


@pytest.mark.usefixtures("camera")
def test_outputs_that_cannot_start_leave_the_measuring_alone(tmp_path: Path, linear_bundle: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = {
            "http": {"port": port, "enabled": True},
            "mqtt": {"host": "127.0.0.1", "tls": {"ca_file": str(tmp_path / "none.pem")}},
        }
        with running(Service(configured(tmp_path, linear_bundle, outputs=wanted))) as service:
            frames(service, 50)
            until(service, lambda: {"http", "mqtt"} <= service.board.snapshot().outputs.keys())
            told = service.board.snapshot().outputs
            assert "address already in use" in told["http"]
            assert "none.pem cannot be read" in told["mqtt"]
            other.close()
            until(service, lambda: service.board.snapshot().outputs["http"] == "")


def test_a_clip_that_is_not_there_is_told_by_check_and_waited_for_by_run(tmp_path: Path) -> None:
    camera = {"kind": "clip", "path": str(tmp_path / "none.mp4")}
    file = written(tmp_path / "c.yaml", camera=camera, store={"directory": str(tmp_path / "state")})
    done = run_command("check", file)
    assert done.returncode == EXIT_CONFIGURATION
    assert "camera.path" in done.stdout
    assert "none.mp4: no such file: check the path" in done.stdout
    assert run_command("run", "--config", file).returncode == EXIT_RECOVERY


def test_check_tells_what_is_not_there(tmp_path: Path) -> None:
    key = tmp_path / "k.pem"
    key.write_text("no key")
    wanted = {
        "http": {"port": 1, "tls_certificate": str(tmp_path / "c.pem"), "tls_key": str(key)},
        "mqtt": {"host": "broker.invalid", "tls": {"ca_file": str(key)}},
    }
    done = run_command("check", written(tmp_path / "c.yaml", outputs=wanted))
    assert done.returncode == EXIT_CONFIGURATION
    first, second = done.stdout.splitlines()
    assert f"{tmp_path}/c.pem cannot be read (no such file or directory)" in first
    assert "outputs.mqtt.tls.ca_file" in second
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = {"http": {"port": port}}
        store = {"directory": "/mnt/not-mounted-here/bridge"}
        done = run_command("check", written(tmp_path / "d.yaml", outputs=wanted, store=store))
    assert done.returncode == 0
    assert f"port {port} is taken at present" in done.stdout
    if os.stat("/mnt").st_dev == os.stat("/").st_dev:
        assert "no disk is mounted at /mnt/not-mounted-here/bridge" in done.stdout
    assert done.stdout.endswith(": ok\n")


def test_check_says_where_a_required_disk_is_not_mounted(tmp_path: Path) -> None:
    for required, directory, wanted in (
        (str(tmp_path), tmp_path / "s", f"no disk is mounted at {tmp_path}: mount it"),
        (
            True,
            "/nowhere/s",
            "no disk is mounted at /nowhere/s, which would be the system's own",
        ),
        ("/proc", tmp_path, f"{tmp_path} does not lie on the disk at /proc"),
    ):
        store = {"directory": str(directory), "require_mount": required}
        done = run_command("check", written(tmp_path / "d.yaml", store=store))
        assert (done.returncode, wanted in done.stdout) == (0, True)


@pytest.mark.parametrize(
    ("closed", "told"),
    [("", "clips: cannot be created (permission denied)"), ("clips", "clips: no clips can be kept: let the")],
)
def test_a_directory_of_somebody_else_is_told_and_measuring_goes_on(
    tmp_path: Path, closed: str, told: str
) -> None:
    """Ended in a traceback: looking into it raised PermissionError."""
    state = tmp_path / "state"
    (state / closed).mkdir(parents=True)
    (state / closed).chmod(0)
    store = {"directory": str(state)}
    file = written(
        tmp_path / "c.yaml",
        camera=SMALL | {"duration_s": 2},
        store=store,
        outputs={"http": {"enabled": False}},
    )
    command = [str(part) for part in command_line("run", "--config", file)]
    if os.geteuid() == 0:  # root goes through any door, unless it is bound
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("needs setpriv")
        command = [setpriv, "--bounding-set=-dac_override,-dac_read_search", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    (state / closed).chmod(0o700)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count(f"ERROR tremorscope.store: {state}/{told}") == 1
    assert "ended after 60 frames" in done.stderr
