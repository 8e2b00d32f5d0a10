"""What the service may ask of the system: systemd first, then a file that a unit of root's watches."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tremorscope.runtime.host import privileged


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A systemctl that writes down what it is told and then does as the file ``answer`` says."""
    directory = tmp_path / "bin"
    directory.mkdir()
    script = directory / "systemctl"
    script.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n. {tmp_path}/answer\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")
    (tmp_path / "answer").write_text("exit 0")
    return tmp_path


DENIED = "echo 'Failed to restart nvargus-daemon.service: Interactive authentication required.' >&2\nexit 1"


def test_systemd_is_asked_for_that_one_unit_and_without_a_password(systemctl: Path) -> None:
    assert privileged.ask("restart-argus") == ""
    assert privileged.ask("reboot") == ""
    assert (systemctl / "calls").read_text().splitlines() == [
        "--no-ask-password --quiet restart nvargus-daemon.service",
        "--no-ask-password --quiet reboot",
    ]


def test_where_systemd_refuses_a_file_asks_and_is_answered_by_taking_it_away(
    systemctl: Path, tmp_path: Path
) -> None:
    (systemctl / "answer").write_text(DENIED)
    requests = tmp_path / "requests"
    requests.mkdir()

    def root() -> None:
        while not (requests / "restart-argus").exists():
            time.sleep(0.01)
        assert (requests / "restart-argus").stat().st_size == 0
        (requests / "restart-argus").unlink()

    watcher = threading.Thread(target=root)
    watcher.start()
    assert privileged.ask("restart-argus", requests=requests, timeout_s=10) == ""
    watcher.join()


def test_a_request_that_nobody_answers_is_taken_back(systemctl: Path, tmp_path: Path) -> None:
    (systemctl / "answer").write_text(DENIED)
    requests = tmp_path / "requests"
    requests.mkdir()
    why = privileged.ask("restart-argus", requests=requests, timeout_s=0.3)
    assert "Interactive authentication required" in why
    assert "not answered" in why
    assert "\n" not in why
    assert list(requests.iterdir()) == []


def test_without_systemd_and_without_a_watcher_the_reason_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    why = privileged.ask("reboot", requests=tmp_path / "none")
    assert "no systemctl" in why
    assert "install.sh" in why


def test_a_systemd_that_hangs_is_given_up(systemctl: Path, tmp_path: Path) -> None:
    (systemctl / "answer").write_text("exec sleep 60")
    began_s = time.monotonic()
    why = privileged.ask("restart-argus", requests=tmp_path / "none", timeout_s=0.5)
    assert "timed out" in why
    assert time.monotonic() - began_s < 10
