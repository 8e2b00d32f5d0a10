"""What `tremorscope prove` says of a CSI camera, by real GStreamer with stand-ins for a Jetson's elements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runtime.errors import CameraFault
from runtime.prove.outcome import Findings, Outcome
from runtime.prove.plan import Plan
from runtime.prove.steps import camera


def looked_at(scene: Any, tmp_path: Path, *, lock: bool, true_hz: float = 30.0) -> Outcome:
    scene.period_s = 0.01
    scene.sensor_time = lambda number: 7_000_000_000 + round(number * 1e9 / true_hz)
    site = tmp_path / "site.yaml"
    site.write_text(
        "version: 1\ncamera: {kind: csi, width_px: 64, height_px: 48, rate_hz: 30, memory: copy, "
        f"exposure: {{settle_s: 0, lock: {str(lock).lower()}}}}}\n"
    )
    return camera.run(Plan(tmp_path, tmp_path, (site,), quick=True).checked(), Findings(), 0)


def test_rate_memory_copies_and_openings_are_told(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=False)
    assert found.state == "holds", found.said
    assert (found.facts["memory"], found.facts["format"]) == ("copy", "RGBA")
    assert "nvarguscamerasrc" in str(found.facts["pipeline"])
    assert found.facts["copied_bytes_per_frame"] == 64 * 48 * 3  # told, where a copy was asked for
    checks = {check.what: check for check in found.checks}
    assert checks["true rate"].found == "30 Hz"
    assert checks["opening 2"].holds
    assert scene.opened == 3  # once for the frames, and twice more


def test_a_camera_that_is_slower_than_it_says_fails(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=False, true_hz=25.0)
    assert (found.state, found.said) == ("fails", "true rate: 25 Hz, not 30 Hz within 2%")


def test_brightness_that_moves_while_exposure_is_held_fails(scene: Any, tmp_path: Path) -> None:
    found = looked_at(scene, tmp_path, lock=True)  # the stand-in's picture grows brighter from frame to frame
    assert found.state == "fails"
    assert found.said.startswith("brightness while exposure is held: moved by ")


def test_a_camera_that_is_not_there_is_a_fault_with_its_remedy(scene: Any, tmp_path: Path) -> None:
    scene.start = lambda _: False
    with pytest.raises(CameraFault) as caught:
        looked_at(scene, tmp_path, lock=False)
    assert caught.value.remedy
