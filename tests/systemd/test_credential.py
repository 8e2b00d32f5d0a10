"""Passwords and tokens: where they are kept, and what each instance is given."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from support import ROOT

SYSTEMD = ROOT / "systemd"


@pytest.fixture(autouse=True)
def _needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root, who alone may give files to others")


def test_credentials_are_roots_alone_and_reach_every_instance(tmp_path: Path) -> None:
    def credential(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(SYSTEMD / "credential.sh"), "--root", str(tmp_path), *arguments],
            input=stdin, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip

    assert credential("set", "mqtt-password", stdin="pass word\n").returncode == 0
    assert credential("set", "mqtt-password", stdin="pass word").stderr == "mqtt-password is as it was\n"
    token = credential("generate", "web-token").stdout.strip()
    assert len(token) == 32
    kept = tmp_path / "etc/tremorscope/credentials"
    assert (kept / "mqtt-password").read_text() == "pass word\n"
    assert (kept / "web-token").read_text() == f"{token}\n"
    assert {path.stat().st_mode & 0o777 for path in kept.iterdir()} == {0o600}
    for unit in ("tremorscope.service", "tremorscope@.service"):
        lines = (tmp_path / f"etc/systemd/system/{unit}.d/20-credentials.conf").read_text().splitlines()
        assert lines[-2:] == [
            "LoadCredential=mqtt-password:/etc/tremorscope/credentials/mqtt-password",
            "LoadCredential=web-token:/etc/tremorscope/credentials/web-token",
        ]
    assert credential("list").stdout.split() == ["mqtt-password", "web-token"]
    assert "only used if a camera states it" in credential("set", "north_camera", stdin="x").stderr
    credential("remove", "north_camera")
    credential("remove", "web-token")
    credential("remove", "mqtt-password")
    assert not (tmp_path / "etc/systemd/system/tremorscope.service.d/20-credentials.conf").exists()
    for arguments, stdin, message in (
        (("set", "../shadow"), "x", "cannot be the name of a credential"),
        (("set",), "x", "cannot be the name of a credential"),
        (("set", "web-token"), "", "is empty"),
        (("set", "web-token"), "two\nlines\n", "has several lines"),
        (("set", "web-token"), "x" * 5000, "longer than 4096"),
        (("show",), "", "no such command"),
    ):
        done = credential(*arguments, stdin=stdin)
        assert done.returncode == 1
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
