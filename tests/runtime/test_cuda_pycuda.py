"""PyCUDA behind the protocol: its own code over a driver that threads stand in for, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pycuda_build import fake_driver, graph_bindings, pycuda
from support import ROOT

from runtime.cuda_graphs import load_capture
from runtime.cuda_pycuda import open_gpu
from runtime.errors import EngineFault


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """In which PyCUDA and cuda-bindings find a driver."""
    path = [pycuda(), *graph_bindings(), ROOT, ROOT / "tests", ROOT / "tests/runtime"]
    return os.environ | {
        "LD_LIBRARY_PATH": str(fake_driver(tmp_path_factory.mktemp("driver"))),
        "PYTHONPATH": os.pathsep.join(map(str, path)),
    }


def test_pycuda_keeps_the_protocol(environment: dict[str, str]) -> None:
    suite = Path(__file__).with_name("pycuda_suite.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(suite)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " skipped" not in done.stdout


def test_without_pycuda_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineFault, match=r"^PyCUDA is not installed: pip install 'tremorscope\[jetson\]'"):
        open_gpu()


def test_without_cuda_bindings_there_are_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert load_capture() is None
