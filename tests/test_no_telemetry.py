"""What is installed with the kit must not report to anybody what a device does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

PROGRAM = """
from pathlib import Path
from tremorscope.runtime.engines.interface.bundle import SHIPPED_BUNDLES
from tremorscope.runtime.engines.onnx.runtime import OnnxRuntimeEngine
OnnxRuntimeEngine(SHIPPED_BUNDLES / "realtime" / "pairwise.onnx", width_px=64, height_px=48)
"""


def files_left(home: Path, program: str) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT, env=environment, timeout=60)
    return [path.name for path in home.rglob("*") if path.is_file()]


def test_onnx_runtime_keeps_no_account_of_its_use_and_sends_none(tmp_path: Path) -> None:
    assert files_left(tmp_path, PROGRAM) == []


def test_it_would_if_it_were_not_told(tmp_path: Path) -> None:
    """The wheel's own behaviour, without which the test above would show nothing."""
    left = files_left(tmp_path, f"import os, runtime; os.environ['ORT_DISABLE_TELEMETRY'] = '0'\n{PROGRAM}")
    if not left:
        pytest.skip("this version of ONNX Runtime has no telemetry")
    assert "deviceid" in left
