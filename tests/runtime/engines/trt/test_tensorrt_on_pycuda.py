"""The TensorRT runner over PyCUDA and cuda-bindings themselves, in a process whose driver is made of threads."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycuda_build import over_fake_driver


def test_the_runner_keeps_its_word_on_an_asynchronous_gpu(tmp_path_factory: pytest.TempPathFactory) -> None:
    over_fake_driver(Path(__file__).with_name("tensorrt_pycuda_suite.py"), tmp_path_factory.mktemp("driver"))
