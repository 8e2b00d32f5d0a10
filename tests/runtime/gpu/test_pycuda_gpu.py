"""PyCUDA behind the protocol: its own code over a driver that threads stand in for, in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pycuda_build import JETPACK_6, JETPACK_7, over_fake_driver

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.cuda_bindings import load_capture
from tremorscope.runtime.gpu.pycuda_gpu import open_gpu


@pytest.mark.parametrize("bindings", [JETPACK_6, JETPACK_7])
def test_pycuda_keeps_the_protocol(tmp_path_factory: pytest.TempPathFactory, bindings: str) -> None:
    suite = Path(__file__).with_name("pycuda_suite.py")
    over_fake_driver(suite, tmp_path_factory.mktemp("driver"), bindings)


def test_without_pycuda_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(EngineFault, match=r"^PyCUDA is not installed: pip install 'tremorscope\[jetson\]'"):
        open_gpu()


def test_without_cuda_bindings_there_are_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cuda", None)
    assert load_capture() is None
