"""Fixtures of the service's tests."""

from __future__ import annotations

from dataclasses import replace

import pytest
from running_service import Camera

from tremorscope.runtime.service import assembly, recovery


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> type[Camera]:
    """A camera that can be made to fail, in place of the synthetic one; it gives one picture, again and again."""
    settings_of = assembly.supervisor_settings
    for module in (assembly, recovery):  # it opens at once, so that nobody waits ten seconds for that
        monkeypatch.setattr(
            module,
            "supervisor_settings",
            lambda settings: replace(settings_of(settings), still_s=None, open_timeout_s=0.5),
        )
    Camera.fails = Camera.flickers = Camera.dark = False
    monkeypatch.setattr(assembly, "open_camera", lambda *_args, **_more: Camera())
    return Camera
