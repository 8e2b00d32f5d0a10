"""What the tests of cameras share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tremorscope.runtime.cameras.gstreamer.load import load_gstreamer
from tremorscope.runtime.errors import CameraFault


@pytest.fixture(scope="session")
def gstreamer() -> Any:
    """The module Gst; skips where it is not there."""
    try:
        gst = load_gstreamer()
    except CameraFault as fault:
        pytest.skip(f"needs gstreamer: {fault}")
    import gi

    # Before any element is met: one whose base class is not known yet is known by half for ever after.
    gi.require_version("GstBase", "1.0")
    from gi.repository import GstBase  # noqa: F401

    return gst


@pytest.fixture
def scene(gstreamer: Any) -> Iterator[Any]:  # noqa: ARG001
    """Stand-ins for the elements of a Jetson and of video devices, and what they film."""
    import standins

    with standins.registered(standins.Scene()) as made:
        yield made


@pytest.fixture
def quick_threads() -> Iterator[None]:
    """Python's threads hand over to each other sooner: four of them work for each frame here."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    yield
    sys.setswitchinterval(before)
