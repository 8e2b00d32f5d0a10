"""The stand-in for a GPU where there is none, and what it cannot do."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gpu_suite import *  # noqa: F403
from host_gpu import HostGpu


@pytest.fixture
def gpu() -> Iterator[HostGpu]:
    made = HostGpu()
    yield made
    made.close()


def test_there_are_no_graphs() -> None:
    gpu = HostGpu()
    assert not gpu.captures
    with pytest.raises(NotImplementedError):
        gpu.capture(gpu.stream(), lambda: None)
