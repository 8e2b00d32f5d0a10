"""A picture that stands still, noise and all, is told as silence is: health, alarm, log, on both edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from running_service import Camera, frames, running, until
from service_parts import configured

from tremorscope.runtime.outputs.state import judge
from tremorscope.runtime.service import assembly
from tremorscope.runtime.service.process import Service


def test_a_frozen_picture_counts_as_silence(
    tmp_path: Path, linear_bundle: Path, camera: type[Camera], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of = assembly.supervisor_settings
    monkeypatch.setattr(
        assembly, "supervisor_settings", lambda settings: replace(settings_of(settings), still_s=1.0)
    )
    alarm = {"name": "silent", "quantity": "signal", "source": "camera", "silence_s": 2, "clear_dwell_s": 0.5}
    loaded = configured(tmp_path, linear_bundle, vibration={"window_s": 0.5, "alarms": [alarm]})
    camera.flickers = True  # each picture differs from the one before
    with running(Service(loaded)) as service:
        frames(service, 100)
        health = service.board.snapshot()
        assert (health.camera.faults, health.raised, judge(health).ok) == ((), (), True)
        camera.flickers = False
        until(service, lambda: not judge(service.board.snapshot()).ok)
        verdict = judge(service.board.snapshot()).text
        assert verdict.startswith("no frame for")
        assert verdict.endswith("(frozen)")
        until(service, lambda: [each.rule.name for each in service.board.snapshot().raised] == ["silent"])
        assert service.board.snapshot().camera.fault_totals["frozen"] == 1
        camera.flickers = True
        until(service, lambda: judge(service.board.snapshot()).ok)
        until(service, lambda: service.board.snapshot().raised == ())
        until(service, lambda: service.board.snapshot().camera.faults == ())
        assert service.board.snapshot().camera.drops["corrupt"] > 50
