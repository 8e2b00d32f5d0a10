"""What doctor tells of the camera as the service last opened it."""

from __future__ import annotations

import json
from pathlib import Path

from tremorscope.runtime.doctor.cameras import seen
from tremorscope.runtime.doctor.probe import Machine, Needs


def test_what_the_camera_said_when_it_was_last_opened_is_told(tmp_path: Path) -> None:
    report = {
        "camera": "CSI camera 0",
        "width_px": 640,
        "height_px": 360,
        "rate_hz": 30.0,
        "times": "arrival",
        "mode": "4: 1280x720 at up to 60 Hz",
        "remarks": [],
    }
    file = tmp_path / "var/lib/tremorscope/north/camera.json"
    file.parent.mkdir(parents=True)
    machine = Machine(tmp_path)
    assert seen(machine, Needs()) == []
    file.write_text(json.dumps(report))
    (found,) = seen(machine, Needs())
    assert (found.state, found.name) == ("ok", "CSI camera 0 when last opened")
    assert found.found == "640x360 px at 30 Hz, sensor mode 4: 1280x720 at up to 60 Hz"
    assert "those of their arrival" in found.means
    file.write_text(json.dumps(report | {"remarks": ["its pictures are scaled"], "times": "sensor"}))
    (found,) = seen(machine, Needs())
    assert found.state == "wrong"
    assert not found.prevents
    assert found.means == "its pictures are scaled; numbers and times of frames are the sensor's own"
    for broken in ("", "[]", "{}", json.dumps(report | {"times": "somebody"})):
        file.write_text(broken)
        assert seen(machine, Needs()) == []
