"""What is said where TensorRT is not there."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tremorscope.runtime.engines.tensorrt.library import load_library
from tremorscope.runtime.errors import EngineFault

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(autouse=True)
def _absent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"):
        monkeypatch.setitem(sys.modules, name, None)  # an import of it fails as if it were not there


def test_on_a_machine_without_jetpack(tmp_path: Path) -> None:
    with pytest.raises(
        EngineFault, match="TensorRT is not there for this Python: on a Jetson, sudo apt install"
    ):
        load_library("tensorrt", tmp_path)


def test_where_jetpack_has_it_and_the_virtual_environment_hides_it(tmp_path: Path) -> None:
    installed = tmp_path / "usr/lib/python3.10/dist-packages/tensorrt"
    installed.mkdir(parents=True)
    with pytest.raises(EngineFault) as caught:
        load_library("tensorrt", tmp_path)
    assert str(caught.value) == (
        f"TensorRT is not there for this Python: JetPack's is at {installed}: make the virtual environment with the "
        f"system's own Python (this one is {PYTHON}) and --system-site-packages"
    )


def test_on_a_workstation(tmp_path: Path) -> None:
    with pytest.raises(
        EngineFault, match="TensorRT for RTX is not there for this Python: pip install tensorrt-rtx"
    ):
        load_library("tensorrt-rtx", tmp_path)
