"""Files that users name: a FIFO or a device neither blocks a reader nor fills its memory, and is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tremorscope.files import open_regular, regular_bytes
from tremorscope.runtime.engines.interface.bundle import MANIFEST_NAME, open_bundle
from tremorscope.runtime.errors import Fault
from tremorscope.runtime.host.secrets import client_context, read_secret, server_context
from tremorscope.runtime.vibration.displacement.geometry import read_lens, read_scale
from tremorscope.runtime.vibration.monitoring.modal_baseline import read_baseline
from tremorscope.runtime.vibration.monitoring.temperature import read_temperature


def _manifest(path: Path) -> object:
    (path.parent / "bundle").mkdir()
    (path.parent / "bundle" / MANIFEST_NAME).symlink_to(path)
    return open_bundle(path.parent / "bundle")


def _credential(path: Path) -> object:
    (path.parent / "web-token").symlink_to(path)
    return read_secret("web-token", {"CREDENTIALS_DIRECTORY": str(path.parent)})


READERS: tuple[Callable[[Path], object], ...] = (
    read_lens, read_scale, read_baseline, _manifest, _credential,
    lambda path: server_context(path, path), lambda path: client_context(path, None, None),
)  # fmt: skip


@pytest.fixture(params=["FIFO", "/dev/zero"])
def endless(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param != "FIFO":
        return Path(request.param)
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


@pytest.mark.parametrize("read", READERS)
def test_what_is_no_regular_file_is_a_fault_at_once(
    endless: Path, read: Callable[[Path], object], tmp_path: Path
) -> None:
    path = tmp_path / "named"
    path.symlink_to(endless)
    with pytest.raises(Fault, match="is no regular file"):
        read(path)


def test_a_temperature_is_not_known_from_it(endless: Path) -> None:
    assert read_temperature(endless) is None


def test_a_file_beyond_its_bound_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(11))
    assert len(regular_bytes(tmp_path / "a", 11)) == 11
    with pytest.raises(OSError, match="too large"):
        regular_bytes(tmp_path / "a", 10)


def test_a_directory_is_refused_and_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        with pytest.raises(OSError, match="no regular file"):
            open_regular(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before
