"""EGL images by the real PyCUDA and cuda-bindings, over a driver that threads stand in for, in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycuda_build import JETPACK_6, JETPACK_7, over_fake_driver


@pytest.mark.usefixtures("gstreamer")
@pytest.mark.parametrize("bindings", [JETPACK_6, JETPACK_7])
def test_what_is_registered_and_mapped_is_given_back(
    tmp_path_factory: pytest.TempPathFactory, bindings: str
) -> None:
    suite = Path(__file__).with_name("egl_suite.py")
    over_fake_driver(suite, tmp_path_factory.mktemp("driver"), bindings)
