"""Fixtures of the service's tests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running_service import Camera

from tremorscope.runtime.service import assembly


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    """A camera that can be made to fail, in place of the synthetic one; it gives one picture, again and again."""
    settings_of = assembly.supervisor_settings
    monkeypatch.setattr(
        assembly, "supervisor_settings", lambda settings: replace(settings_of(settings), still_s=None)
    )
    Camera.fails = Camera.flickers = False
    monkeypatch.setattr(assembly, "open_camera", lambda *_args, **_more: Camera())
    return Camera
