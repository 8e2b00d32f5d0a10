"""The container file and the ways to run it agree with each other and with the sources."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support import ROOT

PACKAGE = ROOT / "systemd/package"
CONTAINERFILE = (PACKAGE / "Containerfile").read_text()
DOCUMENT = (ROOT / "docs/package.md").read_text()


@pytest.fixture
def service() -> dict[str, Any]:
    composed = yaml.safe_load((PACKAGE / "compose.yaml").read_text())
    service: dict[str, Any] = composed["services"]["tremorscope"]
    return service


def test_it_takes_in_what_a_wheel_is_built_from() -> None:
    copied = re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINERFILE, re.MULTILINE)
    sources = {source for sources in copied for source in sources.split()}
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages | {"pyproject.toml", "README.md", "LICENSE", "tremorscope"} <= sources
    assert all((ROOT / source).exists() for source in sources)


def test_every_way_to_run_it_mounts_the_same(service: dict[str, Any]) -> None:
    (command,) = re.findall(r"docker run .*\n(?:    .*\n)+", DOCUMENT)
    assert sorted(re.findall(r"-v (\S+)", command)) == sorted(service["volumes"])
    for stated in ("--runtime nvidia", "--network host", "--restart always", "--ulimit memlock=-1"):
        assert stated in command
    assert (service["runtime"], service["network_mode"], service["restart"]) == ("nvidia", "host", "always")
    assert service["ulimits"] == {"memlock": -1}


def test_a_restarted_camera_daemon_is_found_again(service: dict[str, Any]) -> None:
    targets = {Path(mount.split(":")[1]) for mount in service["volumes"]}
    assert Path("/tmp") in targets
    assert Path("/run/tremorscope-requests") in targets
    assert not any("argus_socket" in str(target) for target in targets)


def test_the_file_of_numbers_names_all_that_compose_asks_for() -> None:
    asked = set(re.findall(r"\$\{(\w+):\?\}", (PACKAGE / "compose.yaml").read_text()))
    assert asked == {"TREMORSCOPE_UID", "TREMORSCOPE_GID", "VIDEO_GID", "RENDER_GID"}
    assert asked == set(re.findall(r'echo "(\w+)=', DOCUMENT))
