"""Fixtures of the service's tests."""

from __future__ import annotations

import pytest
from running_service import Camera

from runtime.service import assembly


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    """A camera that can be made to fail, in place of the synthetic one."""
    Camera.fails = Camera.flickers = False
    monkeypatch.setattr(assembly, "open_camera", lambda *_args, **_more: Camera())
    return Camera
